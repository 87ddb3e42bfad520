import type { Facts } from './facts'
import type { Word } from './i18n'
import { judge, type Judged } from './judge'
import type { Gauge, Level, Limit } from './limits'
import type { Silence } from './silence'

// The status sentence: problems, or that there are none, above all charts.

export interface Clause {
  word: Word
  level: Level
  // share and seconds are formatted into the text.
  share?: number
  seconds?: number
  values?: Record<string, string | number>
}

export interface FiringAlert {
  name: string
  level: Level
}

export interface BadComponent {
  name: string
  reason: string
  failed: boolean
}

export interface Known {
  host: string
  facts: Facts | null
  // hush is how long the machine has said nothing; null while its readings come.
  hush: Silence | null
  alerts: FiringAlert[] | null
  // pending are the names of alerts that are about to fire.
  pending: string[]
  components: BadComponent[]
  // Seconds until a file system is full, by mount point.
  full: Map<string, number>
  limits: Record<Gauge, Limit>
}

export interface Status {
  level: Level
  headline: Clause
  clauses: Clause[]
}

const week = 7 * 86_400
const farthest = 366 * 86_400

export function statusOf(known: Known): Status {
  const { facts, alerts, hush, limits } = known
  if (!facts) return { level: 'warning', headline: { word: 'status.unknown', level: 'warning' }, clauses: [] }
  const told = alerts && (alerts.length === 0 ? { word: 'status.alerts.none' as const, level: 'ok' as const } : { word: alerts.length === 1 ? ('status.alert' as const) : ('status.alerts' as const), level: 'ok' as const, values: { n: alerts.length } })
  if (hush) {
    // What was true then says nothing of now.
    const headline: Clause = hush.seconds === null ? { word: 'status.nobody', level: hush.level, values: { host: known.host } } : { word: 'status.silent', level: hush.level, seconds: hush.seconds }
    return { level: hush.level, headline, clauses: alerts?.length ? [told!] : [] }
  }
  const bad: Clause[] = []
  // Only the worst alert is named: all are listed below, and counted here.
  const worst = [...(alerts ?? [])].sort((a, b) => weight(b.level) - weight(a.level))[0]
  if (worst) bad.push({ word: 'status.firing', level: worst.level, values: { name: worst.name } })
  const add = (word: Word, { share, level }: Judged, values?: Clause['values']) => {
    if (level !== 'ok') bad.push({ word, level, share: share!, ...(values ? { values } : {}) })
  }
  const verdicts = judge(facts, limits)
  add('status.cpu.high', verdicts.cpu)
  add('status.memory.high', verdicts.memory)
  for (const f of [...verdicts.disks].sort((a, b) => b.share - a.share)) add('status.disk.high', f, { mount: f.mount })
  add('status.swap.high', verdicts.swap)
  add('status.busy.high', verdicts.busy)
  add('status.pressure.high', verdicts.pressure, { resource: facts.pressure?.resource ?? '' })
  add('status.load.high', verdicts.load, { load: (facts.load ?? 0).toFixed(1), n: facts.cores ?? 0 })
  const soonest = [...known.full].sort((a, b) => a[1] - b[1])[0]
  if (soonest && soonest[1] < week) bad.push({ word: 'status.full', level: soonest[1] < week / 7 ? 'critical' : 'warning', seconds: soonest[1], values: { mount: soonest[0] } })
  for (const c of known.components) bad.push({ word: 'status.component', level: c.failed ? 'critical' : 'warning', values: { component: c.name, reason: c.reason } })
  for (const name of known.pending) bad.push({ word: 'status.pending', level: 'warning', values: { name } })
  bad.sort((a, b) => weight(b.level) - weight(a.level))

  const plain: Clause[] = []
  if (facts.cpu !== null && !bad.some((c) => c.word === 'status.cpu.high')) plain.push({ word: 'status.cpu', level: 'ok', share: facts.cpu })
  if (facts.memory.share !== null && !bad.some((c) => c.word === 'status.memory.high')) plain.push({ word: 'status.memory', level: 'ok', share: facts.memory.share })
  const fullest = [...facts.filesystems].sort((a, b) => b.share - a.share)[0]
  if (soonest && soonest[1] >= week && soonest[1] < farthest) plain.push({ word: 'status.full', level: 'ok', seconds: soonest[1], values: { mount: soonest[0] } })
  else if (fullest && !bad.some((c) => c.values?.mount === fullest.mount)) plain.push({ word: 'status.used', level: 'ok', share: fullest.share, values: { mount: fullest.mount } })
  if (told) plain.push(told)

  const level = bad[0]?.level ?? 'ok'
  return { level, headline: bad[0] ?? { word: 'status.ok', level: 'ok' }, clauses: [...bad.slice(1), ...plain] }
}

const weight = (level: Level): number => ['ok', 'warning', 'critical'].indexOf(level)
