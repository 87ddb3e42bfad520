import { computed, effect, signal } from '@preact/signals'
import { type Alert, Failure, get } from './api/client'
import { query, queryRange } from './api/prometheus'
import { remote, seedRecent } from './facts'
import type { Series } from './frame'
import { untilEmpty } from './forecast'
import { hostName, isOwnHost } from './host'
import type { Level } from './limits'
import { remoteOf, remoteQuestion } from './remote'
import type { BadComponent } from './status'
import { resumed, seen, serverNow } from './stream'

// What the page polls besides the readings: alerts, health, and disk forecasts.

export interface ActiveAlert {
  id: string
  host: string
  name: string
  level: Level
  state: Alert['state']
  severity: string
  summary: string
  since: number
  at: number | null
}

// alerts are those that fire, or fired and have no data now; null if alerting is off.
export const alerts = signal<ActiveAlert[] | null>(null)
// hostAlerts are the alerts of the machine shown.
export const hostAlerts = computed(() => alerts.value?.filter((a) => a.host === hostName.value) ?? null)
// pending are the names of the alerts of that machine that are about to fire.
export const pending = signal<string[]>([])
export const badComponents = signal<BadComponent[]>([])
export const health = signal<'ok' | 'degraded' | 'failed' | null>(null)
// full is the seconds until a file system is full, by mount point.
export const full = signal<Map<string, number>>(new Map())

export function toActive(a: Alert): ActiveAlert {
  return {
    id: a.fingerprint, host: a.host, name: a.rule, state: a.state, severity: a.severity,
    level: a.severity === 'critical' ? 'critical' : 'warning',
    summary: a.summary, since: Date.parse(a.since ?? '') / 1000, at: null,
  }
}

async function loadAlerts(): Promise<void> {
  try {
    const answer = await get('/api/v1/alerts')
    alerts.value = answer.alerts.filter((a) => a.state === 'firing' || a.state === 'no_data').map(toActive)
    pending.value = [...new Set(answer.alerts.filter((a) => a.state === 'pending' && a.host === hostName.peek()).map((a) => a.rule))]
  } catch (e) {
    // Alerting is off, or not visible to this user.
    if (e instanceof Failure && (e.status === 404 || e.kind === 'forbidden')) {
      alerts.value = null
      pending.value = []
    }
  }
}

async function loadHealth(): Promise<void> {
  try {
    const answer = await get('/api/v1/health')
    health.value = answer.status
    const wasBad = badComponents.peek().some((c) => c.name === 'store')
    badComponents.value = (answer.parts ?? []).filter((p) => p.status !== 'ok').map((p) => ({ name: p.name, reason: p.reason ?? p.status, failed: p.status === 'failed' }))
    // The charts have what the store could answer until now.
    if (wasBad && !badComponents.peek().some((c) => c.name === 'store')) resumed.value++
  } catch { /* The banner says that the agent is not responding. */ }
}

// queue is the push queue, null if nothing is pushed.
export const queue = signal<{ waiting: number; dropped: number } | null>(null)

async function loadQueue(): Promise<void> {
  const host = hostName.peek()
  if (!host) return
  const own = `{host_name=${JSON.stringify(host)}}`
  try {
    const found = await query(`sum(sysotel_queue_requests${own}) or label_replace(sum(sysotel_queue_dropped_total${own}), "what", "dropped", "", "")`, serverNow())
    const of = (what: string | undefined) => Number(found.find((f) => f.metric.what === what)?.value[1] ?? 0)
    queue.value = found.length === 0 ? null : { waiting: of(undefined), dropped: of('dropped') }
  } catch { /* The footer omits it. */ }
}

// loadMinute loads the minute before the page was opened.
async function loadMinute(): Promise<void> {
  try {
    const [found] = await query(`sysotel_cpu_usage_ratio{host_name=${JSON.stringify(hostName.peek())}}[1m]`, serverNow())
    seedRecent((found as unknown as Series | undefined)?.values.map(([, v]) => Number(v)) ?? [])
  } catch { /* Readings fill it within a minute. */ }
}

const hour = 3600

// loadForecast loads the free space of a week, by the hour.
async function loadForecast(): Promise<void> {
  const host = hostName.peek()
  if (!host) return
  const to = Math.floor(serverNow() / hour) * hour
  const expr = `avg_over_time(sysotel_disk_free_bytes{host_name=${JSON.stringify(host)},mountpoint!=""}[1h])`
  try {
    const { series } = await queryRange(expr, to - 7 * 24 * hour, to, hour)
    full.value = new Map(series.flatMap((s) => {
      const left = untilEmpty(s.values.map(([at, value]) => [at, Number(value)]))
      return left === null ? [] : [[s.metric.mountpoint ?? '', left] as const]
    }))
  } catch { /* The status sentence then shows usage instead. */ }
}

// lastSeen returns when a machine was last heard of, null if it never was.
async function lastSeen(host: string): Promise<number | null> {
  const known = (await get('/api/v1/hosts')).hosts.find((h) => h.host_name === host)
  return known ? Date.parse(known.last_seen) / 1000 : null
}

// loadRemote loads a machine other than the agent's own.
async function loadRemote(): Promise<void> {
  const host = hostName.peek()
  if (host === '' || isOwnHost.peek()) return
  try {
    const found = remoteOf(await query(remoteQuestion(host), serverNow()))
    if (found.newest === null) found.newest = await lastSeen(host)
    if (hostName.peek() === host) remote.value = found
  } catch { /* The charts show the error. */ }
}

export function keepWatch(): void {
  const every = (seconds: number, f: () => Promise<void>) => setInterval(() => { if (seen.value) void f() }, seconds * 1000)
  effect(() => {
    void resumed.value
    if (!seen.value) return
    void loadAlerts()
    void loadHealth()
  })
  effect(() => {
    if (!hostName.value) return
    void loadForecast()
    void loadQueue()
    void loadMinute()
    remote.value = null
    void loadRemote()
  })
  every(10, loadAlerts)
  every(15, loadHealth)
  every(5, loadRemote)
  every(15, loadQueue)
  every(15 * 60, loadForecast)
}
