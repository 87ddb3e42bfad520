import type { Panel } from './panels'
import type { Sample } from './frame'
import type { Current } from './api/client'

// Maps a live reading to series, so that charts advance without a query. A panel whose
// expression is not a plain mean of one of these polls its newest step instead.

type Value = { labels: Record<string, string>; value: number | null | undefined }

const one = (value: number | null | undefined): Value[] => [{ labels: {}, value }]
const share = (percent: number | null | undefined) => (percent === null || percent === undefined ? null : percent / 100)

function directions(first: string, a: number | null | undefined, second: string, b: number | null | undefined, labels: Record<string, string> = {}): Value[] {
  return [{ labels: { direction: first, ...labels }, value: a }, { labels: { direction: second, ...labels }, value: b }]
}

const memoryStates = (r: Current): Record<string, number | null> => ({
  used: r.memory.used, free: r.memory.free, buffered: r.memory.buffers, cached: r.memory.cached,
  slab_reclaimable: r.memory.slab_reclaimable, slab_unreclaimable: r.memory.slab_unreclaimable,
})

const series: Record<string, (r: Current) => Value[]> = {
  sysotel_cpu_usage_ratio: (r) => one(share(r.cpu.usage_percent)),
  sysotel_cpu_core_usage_ratio: (r) => (r.cpu.cores ?? []).map((c) => ({ labels: { cpu: c.id }, value: share(c.usage_percent) })),
  sysotel_cpu_state_usage_ratio: (r) =>
    Object.entries(r.cpu.states_percent).map(([state, value]) => ({ labels: { state: state === 'iowait' ? 'wait' : state }, value: share(value as number | null) })),
  system_cpu_load_average_1m: (r) => one(r.cpu.load_average[0]),
  system_cpu_load_average_5m: (r) => one(r.cpu.load_average[1]),
  system_cpu_load_average_15m: (r) => one(r.cpu.load_average[2]),
  system_cpu_logical_count: (r) => one(r.cpu.count),
  system_memory_limit_bytes: (r) => one(r.memory.total),
  system_memory_usage_bytes: (r) => Object.entries(memoryStates(r)).map(([state, value]) => ({ labels: { state }, value })),
  system_memory_utilization_ratio: (r) =>
    Object.entries(memoryStates(r)).map(([state, value]) => ({ labels: { state }, value: state === 'used' ? share(r.memory.percent) : value === null || !r.memory.total ? null : value / r.memory.total })),
  system_linux_memory_available_bytes: (r) => one(r.memory.available),
  sysotel_swap_usage_bytes: (r) => one(r.memory.swap.used),
  sysotel_swap_limit_bytes: (r) => one(r.memory.swap.total),
  sysotel_disk_io_rate_bytes_per_second: (r) => [
    ...directions('read', r.disk.io.read_bytes_per_sec, 'write', r.disk.io.write_bytes_per_sec),
    ...(r.disk.devices ?? []).flatMap((d) => directions('read', d.read_bytes_per_sec, 'write', d.write_bytes_per_sec, { device: d.name })),
  ],
  sysotel_disk_operations_rate_per_second: (r) => [
    ...directions('read', r.disk.io.read_count_per_sec, 'write', r.disk.io.write_count_per_sec),
    ...(r.disk.devices ?? []).flatMap((d) => directions('read', d.read_count_per_sec, 'write', d.write_count_per_sec, { device: d.name })),
  ],
  sysotel_disk_busy_ratio: (r) => (r.disk.devices ?? []).map((d) => ({ labels: { device: d.name }, value: share(d.busy_percent) })),
  sysotel_disk_latency_seconds: (r) =>
    (r.disk.devices ?? []).flatMap((d) => directions('read', d.read_latency_ms === null ? null : d.read_latency_ms / 1000, 'write', d.write_latency_ms === null ? null : d.write_latency_ms / 1000, { device: d.name })),
  sysotel_disk_queue_length: (r) => (r.disk.devices ?? []).map((d) => ({ labels: { device: d.name }, value: d.queue })),
  sysotel_network_io_rate_bytes_per_second: (r) => [
    ...directions('receive', r.network.bytes_recv_per_sec, 'transmit', r.network.bytes_sent_per_sec),
    ...(r.network.interfaces ?? []).flatMap((n) => directions('receive', n.bytes_recv_per_sec, 'transmit', n.bytes_sent_per_sec, { device: n.name })),
  ],
  sysotel_network_packets_rate_per_second: (r) => [
    ...directions('receive', r.network.packets_recv_per_sec, 'transmit', r.network.packets_sent_per_sec),
    ...(r.network.interfaces ?? []).flatMap((n) => directions('receive', n.packets_recv_per_sec, 'transmit', n.packets_sent_per_sec, { device: n.name })),
  ],
  sysotel_pressure_utilization_ratio: (r) =>
    (r.pressure ?? []).flatMap((p) => [
      { labels: { resource: p.resource, kind: 'some' }, value: share(p.some.percent) },
      { labels: { resource: p.resource, kind: 'full' }, value: share(p.full.percent) },
    ]),
  sysotel_agent_memory_usage_bytes: (r) => one(r.agent.memory),
}

interface Selector {
  name: string
  matchers: { label: string; is: boolean; test: (value: string) => boolean }[]
}

// readSelector parses the mean of one metric over a step; null for anything else.
export function readSelector(expr: string): Selector | null {
  const m = /^avg_over_time\(\s*(\w+)\s*(?:\{([^{}]*)\})?\s*\[\$(?:window|\{window\})\]\s*\)$/.exec(expr.trim())
  if (!m || !m[1]) return null
  const matchers: Selector['matchers'] = []
  const text = m[2] ?? ''
  const part = /\s*(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)/gy
  while (part.lastIndex < text.length) {
    const p = part.exec(text)
    if (!p) return null
    const [, label = '', operator = '', raw = ''] = p
    if (label === 'host_name') continue
    const value = raw.replace(/\\(.)/g, '$1')
    const is = operator[0] === '='
    if (/^\$\{?(device|interface|mountpoint)\}?$/.test(value)) continue
    if (operator.includes('~')) {
      const regexp = new RegExp(`^(?:${value})$`)
      matchers.push({ label, is, test: (v) => regexp.test(v) })
    } else {
      matchers.push({ label, is, test: (v) => v === value })
    }
  }
  return { name: m[1], matchers }
}

export type Reader = (r: Current) => Sample[]

// readerOf returns a function that takes a panel's values from a reading, or null if
// a reading lacks one of its queries.
export function readerOf(panel: Panel): Reader | null {
  const readers = panel.queries.map((query, i) => {
    const selector = readSelector(query.expr)
    const values = selector && series[selector.name]
    if (!values) return null
    return (r: Current): Sample[] => {
      const found: Sample[] = []
      for (const { labels, value } of values(r)) {
        if (value === null || value === undefined) continue
        if (selector.matchers.every((m) => m.test(labels[m.label] ?? '') === m.is)) found.push({ query: i, labels, value })
      }
      return found
    }
  })
  if (readers.some((r) => r === null)) return null
  return (r) => readers.flatMap((read) => read!(r))
}
