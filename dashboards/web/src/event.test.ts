import { expect, it } from 'vitest'
import { alertMarks, causeOf, type MachineEvent, toEvent } from './event'

const one = (kind: MachineEvent['kind'], at: number, more: Partial<MachineEvent> = {}): MachineEvent => ({ id: 1, kind, at, from: null, to: null, cause: '', subject: '', detail: {}, ...more })
const gap = { from: 100, to: 110 }

it.each<[string, MachineEvent[], string]>([
  ['nothing', [], 'cause.unknown'],
  ['something long ago', [one('reboot', 10)], 'cause.unknown'],
  ['a clean stop and a start', [one('stop', 100), one('start', 109, { detail: { previous: 'stopped' } })], 'cause.stopped'],
  ['a stop without a start', [one('stop', 100)], 'cause.stopped'],
  ['a start after a crash', [one('start', 109, { detail: { previous: 'no clean stop' } })], 'cause.killed'],
  ['a restart of the machine', [one('start', 109, { detail: { previous: 'no clean stop' } }), one('reboot', 105)], 'cause.reboot'],
  ['the very first start', [one('start', 109, { detail: { previous: 'none' } })], 'cause.before'],
  ['a short absence in a long gap', [one('start', 109, { from: 108, to: 109, detail: { previous: 'stopped' } })], 'cause.unknown'],
  ['a long absence', [one('start', 109, { from: 90, to: 109, detail: { previous: 'stopped' } })], 'cause.stopped'],
  ['a suspend', [one('suspend', 110, { from: 100, to: 110 })], 'cause.suspend'],
  ['a step of the clock', [one('clock_step', 104)], 'cause.clock_step'],
  ['too much to do', [one('gap', 110, { cause: 'overload', from: 101, to: 109 })], 'cause.overload'],
  ['a second of one family in a long gap', [one('gap', 104, { cause: 'timeout', from: 103, to: 104 })], 'cause.unknown'],
  ['a cause that is not known here', [one('gap', 105, { cause: 'gremlins', from: 100, to: 110 })], 'cause.unknown'],
])('%s', (_, all, want) => { expect(causeOf(gap, all, 0.5)).toBe(want) })

it('reads an event', () => {
  expect(toEvent({ id: 1, time: '2026-02-02T10:30:00Z', kind: 'gap', cause: 'c', subject: 's', from: null, to: '2026-02-02T10:30:01Z', detail: {} })).toMatchObject({ at: 1770028200, from: null, to: 1770028201 })
})

it('groups the marks of alerts, by what they mean', () => {
  const alert = (at: number, subject: string, cause: string, severity = 'warning') => one('alert', at, { subject, cause, detail: { label_severity: severity } })
  expect(alertMarks([alert(170, 'A', 'resolved'), alert(105, 'B', 'firing', 'critical'), alert(100, 'A', 'firing'), alert(110, 'A', 'firing'), alert(120, 'A', 'no data'), alert(300, 'C', 'firing'), one('start', 100)], 60)).toEqual([
    { at: 100, level: 'critical', names: ['A', 'B'] },
    { at: 170, level: 'ok', names: ['A'] },
    { at: 300, level: 'warning', names: ['C'] },
  ])
})
