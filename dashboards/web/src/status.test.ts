import { describe, expect, it } from 'vitest'
import type { Facts } from './facts'
import { usual } from './limits'
import { type Known, statusOf } from './status'

const calm: Facts = {
  cpu: 0.23, steadyCPU: 0.2, steadyBusy: 0.1, cores: 4, load: 1, memory: { share: 0.61, used: 61, total: 100 }, swap: { share: 0, used: 0, total: 10 },
  filesystems: [{ mount: '/', share: 0.5, free: 50, total: 100 }, { mount: '/boot', share: 0.2, free: 8, total: 10 }],
  busiest: null, pressure: null, network: { received: 0, sent: 0 },
}
const known = (change: Partial<Known> = {}, facts: Partial<Facts> = {}): Known => ({ host: 'web-02', facts: { ...calm, ...facts }, hush: null, alerts: [], pending: [], components: [], full: new Map(), limits: usual, ...change })
const words = (k: Known) => { const s = statusOf(k); return [s.level, s.headline.word, ...s.clauses.map((c) => c.word)].join(' ') }

describe('the status sentence', () => {
  it.each<[string, Known, string]>([
    ['all is well', known(), 'ok status.ok status.cpu status.memory status.used status.alerts.none'],
    ['nothing is known', { ...known(), facts: null }, 'warning status.unknown'],
    ['a machine that is late', known({ hush: { seconds: 13, level: 'warning' } }, { steadyCPU: 1 }), 'warning status.silent'],
    ['a machine that is gone', known({ hush: { seconds: 80, level: 'critical' }, alerts: [{ name: 'HostDown', level: 'critical' }] }), 'critical status.silent status.alert'],
    ['a machine that nobody knows', known({ hush: { seconds: null, level: 'critical' } }), 'critical status.nobody'],
    ['an alert that is about to fire', known({ pending: ['ProcessorsBusy'] }), 'warning status.pending status.cpu status.memory status.used status.alerts.none'],
    ['a busy disk', known({}, { steadyBusy: 0.97 }), 'critical status.busy.high status.cpu status.memory status.used status.alerts.none'],
    ['programs that wait', known({}, { pressure: { resource: 'memory', share: 0.5 } }), 'warning status.pressure.high status.cpu status.memory status.used status.alerts.none'],
    ['much to do', known({}, { load: 9 }), 'warning status.load.high status.cpu status.memory status.used status.alerts.none'],
    ['no alert rules', known({ alerts: null }), 'ok status.ok status.cpu status.memory status.used'],
    ['far from full', known({ full: new Map([['/', 41 * 86_400]]) }), 'ok status.ok status.cpu status.memory status.full status.alerts.none'],
    ['full in three days', known({ full: new Map([['/', 3 * 86_400], ['/boot', 40 * 86_400]]) }), 'warning status.full status.cpu status.memory status.alerts.none'],
    ['full within hours', known({ full: new Map([['/', 3600]]) }), 'critical status.full status.cpu status.memory status.alerts.none'],
    ['one busy second', known({}, { cpu: 1, steadyCPU: 0.2 }), 'ok status.ok status.cpu status.memory status.used status.alerts.none'],
    ['a busy minute', known({}, { steadyCPU: 0.85 }), 'warning status.cpu.high status.memory status.used status.alerts.none'],
    ['a limit of a rule', known({ limits: { ...usual, cpu: { warning: 0.1, critical: 0.15 } } }, { steadyCPU: 0.2 }), 'critical status.cpu.high status.memory status.used status.alerts.none'],
    ['the worst first', known({}, { steadyCPU: 0.85, memory: { share: 0.97, used: 97, total: 100 } }), 'critical status.memory.high status.cpu.high status.used status.alerts.none'],
    ['a full disk', known({}, { filesystems: [{ mount: '/', share: 0.9, free: 1, total: 10 }] }), 'warning status.disk.high status.cpu status.memory status.alerts.none'],
    ['an alert', known({ alerts: [{ name: 'HighCPU', level: 'critical' }] }), 'critical status.firing status.cpu status.memory status.used status.alert'],
    ['two alerts', known({ alerts: [{ name: 'A', level: 'warning' }, { name: 'B', level: 'critical' }] }), 'critical status.firing status.cpu status.memory status.used status.alerts'],
    ['a component that failed', known({ components: [{ name: 'store', reason: 'the disk is full', failed: true }] }), 'critical status.component status.cpu status.memory status.used status.alerts.none'],
  ])('%s', (_, k, want) => { expect(words(k)).toBe(want) })
})
