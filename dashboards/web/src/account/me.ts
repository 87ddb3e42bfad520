import { computed, signal } from '@preact/signals'
import { get } from '../api/client'
import type { components } from '../api/schema'

// The current user and role. What the role forbids is shown, but not offered.

export type Me = components['schemas']['Me']
export const me = signal<Me | null>(null)
export const isAdmin = computed(() => me.value?.role === 'admin')

export async function loadMe(): Promise<void> {
  try {
    me.value = await get('/api/v1/auth/me')
  } catch { /* The next request shows the error. */ }
}
