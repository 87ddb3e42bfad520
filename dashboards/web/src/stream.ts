import { computed, signal } from '@preact/signals'
import { type Current, get } from './api/client'
import { base } from './base'
import { openSource, type Source } from './source'
import { silenceOf, slack } from './silence'

// The live stream of readings. The page uses the agent's time, from the newest reading
// and the time since, because the viewer's clock can be wrong.

export const reading = signal<Current | null>(null)

export type Connection = 'connecting' | 'open' | 'closed'
export const connection = signal<Connection>('connecting')

// arrived is when the newest reading came, on the monotonic clock.
let arrived = performance.now()
let offset = 0

export const serverNow = (): number => (performance.timeOrigin + performance.now()) / 1000 + offset

// silence is the whole seconds since the newest reading.
export const silence = signal(0)
setInterval(() => { silence.value = Math.floor((performance.now() - arrived) / 1000) }, 500)

export const isStale = computed(() => silenceOf(silence.value, reading.value?.interval_seconds ?? 1, slack.own) !== null)

function take(r: Current): void {
  arrived = performance.now()
  silence.value = 0
  const at = Date.parse(r.timestamp) / 1000
  // Readings come up to a tick late; the clock follows the earliest of them.
  const ahead = at - (performance.timeOrigin + arrived) / 1000
  offset = reading.value === null || ahead > offset || ahead < offset - 2 ? ahead : offset
  const before = reading.value
  reading.value = r
  if (before && (r.tick < before.tick || r.tick > before.tick + 1)) resumed.value++
}

// resumed counts how often readings came back after some were missed: charts then
// load what they lack.
export const resumed = signal(0)

let source: Source | null = null
let retry: ReturnType<typeof setTimeout> | undefined

export function connect(): void {
  clearTimeout(retry)
  source?.close()
  const mine = source = openSource(base + '/api/v1/metrics/stream', {
    opened: () => { if (source === mine) connection.value = 'open' },
    reading: (text) => {
      if (source !== mine) return
      try {
        take(JSON.parse(text) as Current)
        connection.value = 'open'
      } catch { /* A truncated event; the next one comes in a second. */ }
    },
    failed: (ended) => {
      if (source !== mine) return
      connection.value = 'closed'
      if (!ended) return // The browser tries again itself.
      mine.close()
      source = null
      // An EventSource does not say why it was refused: a request does, and renews an
      // expired session.
      retry = setTimeout(() => {
        get('/api/v1/metrics/current').then((r) => { take(r); connect() }, () => { retry = setTimeout(connect, 2000) })
      }, 500)
    },
  })
}

// A hidden page closes the stream and loads what it missed when it is shown.
export const seen = signal(document.visibilityState === 'visible')
document.addEventListener('visibilitychange', () => {
  seen.value = document.visibilityState === 'visible'
  if (seen.value) connect()
  else {
    source?.close()
    source = null
    clearTimeout(retry)
  }
})
