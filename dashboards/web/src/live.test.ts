import { describe, expect, it } from 'vitest'
import type { Current } from './api/client'
import { readerOf, readSelector } from './live'
import { isInstant, type Panel, panels } from './panels'

// polled are the charts that a reading of the live stream cannot move on: they
// ask the agent for their newest step instead.
const polled = new Set([
  // A rate of a counter; a reading has the counter's value or nothing of it.
  'context_switches', 'swap_io', 'page_faults', 'process_created', 'process_unattributed',
  'agent_cpu', 'agent_ticks', 'family_failures', 'queue_sent',
  // The top ten of all programs.
  'process_cpu', 'process_memory', 'process_io', 'process_threads', 'process_count',
  // Computed from several metrics.
  'memory_parts',
  // Read less often than every tick.
  'cpu_frequency', 'connections',
  // Changes slowly.
  'disk_space_history', 'disk_free',
  // Not in a reading.
  'cgroup_cpu', 'cgroup_memory', 'network_errors', 'network_dropped', 'sockets', 'process_states', 'family_duration', 'family_folded', 'queue',
])

const charts = [...panels.values()].filter((p) => !isInstant(p))

describe('a chart', () => {
  it('follows the live stream, or is on the list of those that poll', () => {
    expect(charts.filter((p) => !readerOf(p) && !polled.has(p.id)).map((p) => p.id)).toEqual([])
  })
  it('on that list exists and polls', () => {
    expect([...polled].filter((id) => !charts.some((p) => p.id === id && !readerOf(p)))).toEqual([])
  })
})

const reading = {
  cpu: {
    usage_percent: 25, count: 2, load_average: [1, 2, 3], states_percent: { user: 20, iowait: 5 },
    cores: [{ id: 'cpu0', usage_percent: 50 }, { id: 'cpu1', usage_percent: null }],
  },
  memory: { total: 1000, used: 400, free: 300, buffers: 50, cached: null, slab_reclaimable: 10, slab_unreclaimable: 20, percent: 40, available: 600, swap: { used: 1, total: 2 } },
  disk: {
    io: { read_bytes_per_sec: 10, write_bytes_per_sec: 20 },
    devices: [{ name: 'sda', read_bytes_per_sec: 7, write_bytes_per_sec: 8, read_latency_ms: 5, write_latency_ms: null, busy_percent: 10, queue: 1 }],
  },
  network: { bytes_recv_per_sec: 3, bytes_sent_per_sec: 4, interfaces: null },
  pressure: [{ resource: 'cpu', some: { percent: 1 }, full: { percent: null } }],
  agent: { memory: 5 },
} as unknown as Current

describe('a reading', () => {
  const f = (expr: string, want: [Record<string, string>, number][]) => {
    const read = readerOf({ queries: [{ name: '', expr }] } as unknown as Panel)
    expect(read?.(reading).map((s) => [s.labels, s.value]), expr).toEqual(want)
  }
  it('has the values of a series', () => {
    f('avg_over_time(sysotel_cpu_usage_ratio{host_name="$host"}[$window])', [[{}, 0.25]])
    f('avg_over_time(system_cpu_load_average_5m{host_name="$host"}[$window])', [[{}, 2]])
    f('avg_over_time(sysotel_agent_memory_usage_bytes{host_name="$host"}[$window])', [[{}, 5]])
  })
  it('names states as the series do', () => {
    f('avg_over_time(sysotel_cpu_state_usage_ratio{host_name="$host"}[$window])', [[{ state: 'user' }, 0.2], [{ state: 'wait' }, 0.05]])
    f('avg_over_time(system_memory_utilization_ratio{host_name="$host",state="free"}[$window])', [[{ state: 'free' }, 0.3]])
  })
  it('omits unknown values', () => {
    f('avg_over_time(sysotel_cpu_core_usage_ratio{host_name="$host"}[$window])', [[{ cpu: 'cpu0' }, 0.5]])
    f('avg_over_time(system_memory_usage_bytes{host_name="$host",state="cached"}[$window])', [])
    f('avg_over_time(sysotel_pressure_utilization_ratio{host_name="$host",kind="full"}[$window])', [])
  })
  it('separates a total from its devices', () => {
    f('avg_over_time(sysotel_disk_io_rate_bytes_per_second{host_name="$host",device="",direction="read"}[$window])', [[{ direction: 'read' }, 10]])
    f('avg_over_time(sysotel_disk_io_rate_bytes_per_second{host_name="$host",device=~"$device",device!="",direction="write"}[$window])', [[{ direction: 'write', device: 'sda' }, 8]])
    f('avg_over_time(sysotel_disk_latency_seconds{host_name="$host"}[$window])', [[{ direction: 'read', device: 'sda' }, 0.005]])
    f('avg_over_time(sysotel_network_io_rate_bytes_per_second{host_name="$host",device!=""}[$window])', [])
  })
  it('cannot serve a panel with a series that it lacks', () => {
    const queries = ['sysotel_cpu_usage_ratio', 'sysotel_unheard_of'].map((name) => ({ name, expr: `avg_over_time(${name}[$window])` }))
    expect(readerOf({ queries } as Panel)).toBeNull()
  })
})

describe('a selector', () => {
  it('is parsed if a reading has its values', () => {
    const s = readSelector('avg_over_time(m{host_name="$host",state=~"a|b",device!="",x="y",i=~"$interface"}[$window])')
    expect(s?.name).toBe('m')
    expect(s?.matchers.map((m) => [m.label, m.is])).toEqual([['state', true], ['device', false], ['x', true]])
    expect(s?.matchers[0]?.test('ab')).toBe(false)
  })
  it.each(['rate(m[$window])', 'avg_over_time(m[5m])', 'avg_over_time(m{a="b"}[$window]) * 2', 'avg_over_time(m{a=b}[$window])', 'm'])('%s is not', (expr) => { expect(readSelector(expr)).toBeNull() })
})
