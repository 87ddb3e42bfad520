import type { Level } from './limits'

// How long a machine has said nothing: no data is not health.

export interface Silence {
  // seconds since its newest reading; null if none is known.
  seconds: number | null
  level: Level
}

// The page's own agent and others are late after so many seconds, and gone after 30, or
// after three and six of their intervals if those are longer. Readings of others take a
// way through a queue and a database.
export const slack = { own: 3, other: 12 }
const gone = 30

// silenceOf decides by the age of a machine's newest reading; null while readings come.
export function silenceOf(age: number | null, interval: number, late: number): Silence | null {
  if (age === null) return { seconds: null, level: 'critical' }
  if (age <= Math.max(late, 3 * interval)) return null
  return { seconds: Math.floor(age), level: age <= Math.max(gone, 6 * interval) ? 'warning' : 'critical' }
}
