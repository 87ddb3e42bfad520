import type { Instant } from './api/prometheus'
import type { Remote } from './facts'
import { asked } from './panels'

// What the series say about a machine with another agent, in one query.

const metrics = {
  cpu: 'sysotel_cpu_usage_ratio{$}',
  steady: 'avg_over_time(sysotel_cpu_usage_ratio{$}[1m])',
  cores: 'system_cpu_logical_count{$}',
  load: 'system_cpu_load_average_1m{$}',
  memory: 'system_memory_utilization_ratio{$,state="used"}',
  memoryUsed: 'system_memory_usage_bytes{$,state="used"}',
  memoryTotal: 'system_memory_limit_bytes{$}',
  swap: 'sysotel_swap_utilization_ratio{$}',
  swapUsed: 'sysotel_swap_usage_bytes{$}',
  swapTotal: 'sysotel_swap_limit_bytes{$}',
  disk: 'sysotel_disk_utilization_ratio{$,mountpoint!=""}',
  diskFree: 'sysotel_disk_free_bytes{$,mountpoint!=""}',
  diskTotal: 'sysotel_disk_limit_bytes{$,mountpoint!=""}',
  busy: 'sysotel_disk_busy_ratio{$}',
  steadyBusy: 'avg_over_time(sysotel_disk_busy_ratio{$}[1m])',
  pressure: 'avg_over_time(sysotel_pressure_utilization_ratio{$,kind="some"}[10s])',
  network: 'sysotel_network_io_rate_bytes_per_second{$,device=""}',
  uptime: 'system_uptime_seconds{$}',
  agent: 'sysotel_agent_info{$}',
  newest: 'timestamp(sysotel_agent_info{$})',
  readings: 'count_over_time(sysotel_agent_info{$}[10m])',
} as const

type Metric = keyof typeof metrics

// counted is the range of readings, in seconds: so many in it, so long is the interval.
const counted = 600

export function remoteQuestion(host: string): string {
  const own = `host_name=${JSON.stringify(host)}`
  return Object.entries(metrics).map(([name, expr]) => `label_replace((${expr.replace('$', () => own)}), "${asked}", "${name}", "", "")`).join(' or ')
}

export function remoteOf(found: Instant[]): Remote {
  const of = (name: Metric) => found.flatMap((f) => (f.metric[asked] === name && Number.isFinite(Number(f.value[1])) ? [{ labels: f.metric, value: Number(f.value[1]) }] : []))
  const one = (name: Metric, label?: string, is?: string) => of(name).find((f) => label === undefined || f.labels[label] === is)?.value ?? null
  const maximum = (name: Metric) => of(name).reduce<ReturnType<typeof of>[number] | null>((best, f) => (best === null || f.value > best.value ? f : best), null)
  const busy = maximum('busy')
  const pressed = maximum('pressure')
  const worked = maximum('steadyBusy')
  return {
    uptime: one('uptime'),
    newest: maximum('newest')?.value ?? null,
    interval: counted / Math.max(1, maximum('readings')?.value ?? counted),
    url: of('agent').map((f) => pageAt(f.labels.url)).find((u) => u !== null) ?? null,
    facts: {
      cpu: one('cpu'), steadyCPU: one('steady'), steadyBusy: worked?.value ?? null, cores: one('cores'), load: one('load'),
      memory: { share: one('memory'), used: one('memoryUsed'), total: one('memoryTotal') },
      swap: { share: one('swap'), used: one('swapUsed'), total: one('swapTotal') },
      filesystems: of('disk').flatMap((d) => {
        const mount = d.labels.mountpoint ?? ''
        const [free, total] = [one('diskFree', 'mountpoint', mount), one('diskTotal', 'mountpoint', mount)]
        return free === null || total === null ? [] : [{ mount, share: d.value, free, total }]
      }),
      busiest: busy && { device: busy.labels.device ?? '', share: busy.value },
      pressure: pressed && { resource: pressed.labels.resource ?? '', share: pressed.value },
      network: { received: one('network', 'direction', 'receive'), sent: one('network', 'direction', 'transmit') },
    },
  }
}

// pageAt returns an address that is safe to link to, without its trailing slash. What
// a machine reports is hostile: javascript: is an address too.
export function pageAt(text: string | undefined): string | null {
  const url = text ? URL.parse(text) : null
  return url && (url.protocol === 'https:' || url.protocol === 'http:') ? url.href.replace(/\/$/, '') : null
}
