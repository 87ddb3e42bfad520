import { computed, effect, signal } from '@preact/signals'
import type { Current } from './api/client'
import { isOwnHost } from './host'
import { type Silence, silenceOf, slack } from './silence'
import { now } from './state'
import { reading, silence } from './stream'

// What the meters and the status sentence need to know about a machine. Shares are from
// 0 to 1; null is unknown.
export interface Facts {
  cpu: number | null
  // steadyCPU is the mean of the last minute, since one busy second does not matter.
  steadyCPU: number | null
  // steadyBusy is the mean of the last minute of the disk that was busiest.
  steadyBusy: number | null
  cores: number | null
  load: number | null
  memory: { share: number | null; used: number | null; total: number | null }
  swap: { share: number | null; used: number | null; total: number | null }
  filesystems: Filesystem[]
  busiest: { device: string; share: number } | null
  pressure: { resource: string; share: number } | null
  network: { received: number | null; sent: number | null }
}

export interface Filesystem {
  mount: string
  share: number
  free: number
  total: number
}

// Remote is what the series say about a machine.
export interface Remote {
  facts: Facts
  uptime: number | null
  // newest is the time of its newest reading, null if none is known.
  newest: number | null
  // interval is about the time between two readings, in seconds.
  interval: number
  // url is the page of the machine's own agent, null if it is not known.
  url: string | null
}

const share = (percent: number | null | undefined): number | null => (percent === null || percent === undefined ? null : percent / 100)

// maximum returns the entry with the highest value, null if there is none.
function maximum<T>(list: T[], value: (entry: T) => number): T | null {
  return list.reduce<T | null>((best, entry) => (best === null || value(entry) > value(best) ? entry : best), null)
}

export function factsOf(r: Current, steadyCPU: number | null, steadyBusy: number | null): Facts {
  const busy = busiestOf(r)
  const pressed = maximum((r.pressure ?? []).filter((p) => p.some.avg10 !== null), (p) => p.some.avg10 ?? 0)
  return {
    cpu: share(r.cpu.usage_percent),
    steadyCPU,
    steadyBusy,
    cores: r.cpu.count,
    load: r.cpu.load_average?.[0] ?? null,
    memory: { share: share(r.memory.percent), used: r.memory.used, total: r.memory.total },
    swap: { share: share(r.memory.swap.percent), used: r.memory.swap.used, total: r.memory.swap.total },
    filesystems: (r.disk.filesystems ?? []).flatMap((f) => (f.percent === null || f.free === null || f.total === null ? [] : [{ mount: f.mountpoint, share: f.percent / 100, free: f.free, total: f.total }])),
    busiest: busy && { device: busy.name, share: (busy.busy_percent ?? 0) / 100 },
    pressure: pressed && { resource: pressed.resource, share: (pressed.some.avg10 ?? 0) / 100 },
    network: { received: r.network.bytes_recv_per_sec, sent: r.network.bytes_sent_per_sec },
  }
}

const busiestOf = (r: Current) => maximum((r.disk.devices ?? []).filter((d) => d.physical && d.busy_percent !== null), (d) => d.busy_percent ?? 0)

// CPU usage and the business of the busiest disk in the last minute, oldest first.
const minute = 60
const recent = signal<number[]>([])
const worked = signal<number[]>([])
effect(() => {
  const r = reading.value
  if (!r) return
  const cpu = r.cpu.usage_percent
  if (typeof cpu === 'number') recent.value = [...recent.peek().slice(1 - minute), cpu / 100]
  const busy = busiestOf(r)?.busy_percent
  if (typeof busy === 'number') worked.value = [...worked.peek().slice(1 - minute), busy / 100]
})

const meanOf = (list: number[]): number | null => (list.length === 0 ? null : list.reduce((a, b) => a + b, 0) / list.length)

// seedRecent prepends the minute before the page was opened.
export function seedRecent(shares: number[]): void {
  recent.value = [...shares, ...recent.peek()].slice(-minute)
}

// remote is the other machine that is shown, null until it is loaded.
export const remote = signal<Remote | null>(null)

export const facts = computed<Facts | null>(() => {
  if (!isOwnHost.value) return remote.value && remote.value.facts
  return reading.value && factsOf(reading.value, meanOf(recent.value), meanOf(worked.value))
})

// hush is how long the machine shown has said nothing; null while its readings come, and
// before anything is known of it.
export const hush = computed<Silence | null>(() => {
  if (isOwnHost.value) return reading.value && silenceOf(silence.value, reading.value.interval_seconds ?? 1, slack.own)
  const r = remote.value
  return r && silenceOf(r.newest === null ? null : now.value - r.newest, r.interval, slack.other)
})
