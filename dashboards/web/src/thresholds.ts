import { effect, signal } from '@preact/signals'
import { get } from './api/client'
import { limitsOf, usual } from './limits'
import { seen } from './stream'

// limits are the limits of the meters; until the rules are known, and where
// nobody judges, the usual ones.
export const limits = signal(usual)

async function loadLimits(): Promise<void> {
  try {
    const answer = await get('/api/v1/alerts/rules')
    limits.value = limitsOf(answer.rules)
  } catch { /* The limits stay as they are. */ }
}

// Rules change seldom; the page that changes them tells of it at once.
export function keepLimits(): void {
  effect(() => { if (seen.value) void loadLimits() })
  setInterval(() => { if (seen.value) void loadLimits() }, 60_000)
}
