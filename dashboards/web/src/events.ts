import { effect, signal } from '@preact/signals'
import { type Event, get } from './api/client'
import type { Gap } from './frame'
import type { Word } from './i18n'
import { resumed, seen, serverNow } from './stream'
import { live, view } from './state'
import { spanOf, writeMoment } from './time'

// What happened in the time that is shown: the marks on every chart, and the
// causes of their gaps.

export interface Happening {
  id: number
  kind: Event['kind']
  at: number
  from: number | null
  to: number | null
  cause: string
  subject: string
  detail: Record<string, string>
}

export const happenings = signal<Happening[]>([])

const seconds = (text: string | null | undefined): number | null => (text ? Date.parse(text) / 1000 : null)

export function toHappening(e: Event): Happening {
  return { id: e.id, kind: e.kind, at: seconds(e.time) ?? 0, from: seconds(e.from), to: seconds(e.to), cause: e.cause, subject: e.subject, detail: e.detail ?? {} }
}

// causeOf is why readings are missing in a gap, by what happened in it or at its
// ends. A restart of the machine says more than that of the agent.
export function causeOf(gap: Gap, all: Happening[], slack: number): Word {
  const touches = (h: Happening) => {
    const from = h.from ?? h.at
    const to = h.to ?? h.at
    return from <= gap.to + slack && to >= gap.from - slack
  }
  const near = all.filter(touches)
  if (near.some((h) => h.kind === 'reboot')) return 'cause.reboot'
  const missed = near.find((h) => h.kind === 'suspend' || h.kind === 'clock_step')
  if (missed) return missed.kind === 'suspend' ? 'cause.suspend' : 'cause.clock_step'
  const start = near.find((h) => h.kind === 'start')
  if (start) {
    if (start.detail.previous === 'no clean stop') return 'cause.killed'
    return start.detail.previous === 'none' ? 'cause.before' : 'cause.stopped'
  }
  if (near.some((h) => h.kind === 'stop')) return 'cause.stopped'
  switch (near.find((h) => h.kind === 'gap')?.cause) {
    case 'overload':
      return 'cause.overload'
    case 'timeout':
      return 'cause.timeout'
    case 'error':
      return 'cause.error'
    case 'suspend':
      return 'cause.suspend'
    case 'clock_step':
      return 'cause.clock_step'
  }
  return 'cause.unknown'
}

// What is worth a mark on every chart; gaps are shown as such.
const marked: Event['kind'][] = ['start', 'reboot', 'oom_kill', 'clock_step', 'suspend', 'alert']
export const isMarked = (h: Happening): boolean => marked.includes(h.kind)

let asking: AbortController | null = null

async function load(): Promise<void> {
  asking?.abort()
  const mine = (asking = new AbortController())
  const span = spanOf(view.value.range, serverNow())
  try {
    const answer = await get('/api/v1/events', { start: writeMoment(Math.floor(span.from)), end: writeMoment(Math.ceil(span.to) + 60), limit: 300 }, mine.signal)
    happenings.value = answer.events.map(toHappening)
  } catch {
    // Charts are worth something without their marks; what is wrong with the
    // agent is said elsewhere.
  }
}

export function watchEvents(): void {
  effect(() => {
    void view.value.range
    void resumed.value
    if (seen.value) void load()
  })
  setInterval(() => { if (seen.value && live.value) void load() }, 15_000)
}
