import type { Event } from './api/client'
import type { Gap } from './frame'
import type { Level } from './limits'
import type { Word } from './i18n'

// Events of the machine and the agent, and the causes of gaps.

export interface MachineEvent {
  id: number
  kind: Event['kind']
  at: number
  from: number | null
  to: number | null
  cause: string
  subject: string
  detail: Record<string, string>
}

const seconds = (text: string | null | undefined): number | null => (text ? Date.parse(text) / 1000 : null)

export function toEvent(e: Event): MachineEvent {
  return { id: e.id, kind: e.kind, at: seconds(e.time) ?? 0, from: seconds(e.from), to: seconds(e.to), cause: e.cause, subject: e.subject, detail: e.detail ?? {} }
}

// causeOf returns why readings are missing, from the events in or at the ends of a gap.
// A reboot of the machine explains more than a start of the agent.
export function causeOf(gap: Gap, all: MachineEvent[], slack: number): Word {
  const touches = (h: MachineEvent) => {
    const from = h.from ?? h.at
    const to = h.to ?? h.at
    return from <= gap.to + slack && to >= gap.from - slack
  }
  const near = all.filter(touches)
  if (near.some((h) => h.kind === 'reboot')) return 'cause.reboot'
  const missed = near.find((h) => h.kind === 'suspend' || h.kind === 'clock_step')
  if (missed) return missed.kind === 'suspend' ? 'cause.suspend' : 'cause.clock_step'
  // A short absence does not explain a long gap: that may be older than the agent's data.
  const start = near.find((h) => h.kind === 'start' && (h.from === null || h.to === null || Math.min(gap.to, h.to) - Math.max(gap.from, h.from) + 2 * slack >= (gap.to - gap.from) / 2))
  if (start) {
    if (start.detail.previous === 'no clean stop') return 'cause.killed'
    return start.detail.previous === 'none' ? 'cause.before' : 'cause.stopped'
  }
  if (near.some((h) => h.kind === 'stop')) return 'cause.stopped'
  // A family that missed a second explains no hole of minutes.
  const explains = (h: MachineEvent) => h.from !== null && h.to !== null && Math.min(gap.to, h.to) - Math.max(gap.from, h.from) + 2 * slack >= (gap.to - gap.from) / 2
  switch (near.find((h) => h.kind === 'gap' && explains(h))?.cause) {
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

// Events marked on every chart; gaps are drawn as such.
const marked: Event['kind'][] = ['start', 'reboot', 'oom_kill', 'clock_step', 'suspend', 'alert']
export const isMarked = (h: MachineEvent): boolean => marked.includes(h.kind)

// Alerts are marked where they begin and where they end. Several of one minute are one
// mark, of the worst that began.
export interface AlertMark {
  at: number
  level: Level
  names: string[]
}

export function alertMarks(all: MachineEvent[], within: number): AlertMark[] {
  const marks: AlertMark[] = []
  const began = all.filter((h) => h.kind === 'alert' && (h.cause === 'firing' || h.cause === 'resolved')).sort((a, b) => a.at - b.at)
  for (const h of began) {
    const level: Level = h.cause === 'resolved' ? 'ok' : h.detail.label_severity === 'critical' ? 'critical' : 'warning'
    const last = marks.at(-1)
    if (last && h.at - last.at < within && (last.level === 'ok') === (level === 'ok')) {
      if (level === 'critical') last.level = level
      if (!last.names.includes(h.subject)) last.names.push(h.subject)
    } else marks.push({ at: h.at, level, names: [h.subject] })
  }
  return marks
}
