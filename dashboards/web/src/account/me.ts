import { computed, signal } from '@preact/signals'
import { get } from '../api/client'
import type { components } from '../api/schema'

// Who looks, and what he may do. What he may not do is shown and not offered.

export type Me = components['schemas']['Me']
export const me = signal<Me | null>(null)
export const isAdmin = computed(() => me.value?.role === 'admin')

export async function loadMe(): Promise<void> {
  try {
    me.value = await get('/api/v1/auth/me')
  } catch { /* What asks next says what is wrong. */ }
}
