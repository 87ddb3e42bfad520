import { effect, signal } from '@preact/signals'
import { get } from './api/client'
import { limitsOf, usual } from './limits'
import { seen } from './stream'

// limits are the thresholds of the meters: the usual ones until the rules are loaded,
// and where alerting is off.
export const limits = signal(usual)

async function loadLimits(): Promise<void> {
  try {
    const answer = await get('/api/v1/alerts/rules')
    limits.value = limitsOf(answer.rules)
  } catch { /* Keep the limits. */ }
}

// Rules rarely change; the rules page updates the limits itself.
export function keepLimits(): void {
  effect(() => { if (seen.value) void loadLimits() })
  setInterval(() => { if (seen.value) void loadLimits() }, 60_000)
}
