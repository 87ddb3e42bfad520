import { effect, signal } from '@preact/signals'
import { get } from './api/client'
import { type MachineEvent, toEvent } from './event'
import { isOwnHost } from './host'
import { live, view } from './state'
import { resumed, seen, serverNow } from './stream'
import { spanOf, writeMoment } from './time'

// The events in the time range shown: marks on charts, and causes of gaps.

export const events = signal<MachineEvent[]>([])

let asking: AbortController | null = null

async function load(): Promise<void> {
  asking?.abort()
  const mine = (asking = new AbortController())
  const span = spanOf(view.value.range, serverNow())
  try {
    const answer = await get('/api/v1/events', { start: writeMoment(Math.floor(span.from)), end: writeMoment(Math.ceil(span.to) + 60), limit: 300 }, mine.signal)
    events.value = answer.events.map(toEvent)
  } catch {
    // Charts work without marks; the banner shows the agent's errors.
  }
}

export function watchEvents(): void {
  effect(() => {
    void view.value.range
    void resumed.value
    if (!isOwnHost.value) events.value = [] // Another machine's events are on its own agent.
    else if (seen.value) void load()
  })
  setInterval(() => { if (seen.value && live.value && isOwnHost.value) void load() }, 15_000)
}
