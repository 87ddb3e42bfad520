import { computed, signal } from '@preact/signals'
import { get, renew } from '../api/client'
import type { components } from '../api/schema'

// The current user and role. What the role forbids is shown, but not offered.

export type Me = components['schemas']['Me']
export const me = signal<Me | null>(null)
export const isAdmin = computed(() => me.value?.role === 'admin')

// mayLogIn is true for a viewer on the machine itself, whom a login can make more.
export const mayLogIn = computed(() => me.value?.kind === 'local' && !isAdmin.value)

export async function loadMe(): Promise<void> {
  try {
    let now = await get('/api/v1/auth/me')
    if (now.can_refresh && await renew()) now = await get('/api/v1/auth/me')
    me.value = now
  } catch { /* The next request shows the error. */ }
}
