import type { components } from './api/schema'

// The thresholds of the meters. They follow the alert rules, so that a meter and
// an alert never disagree.

type Rule = Pick<components['schemas']['RuleStatus'], 'enabled' | 'expr' | 'severity' | 'threshold'>

export type Level = 'ok' | 'warning' | 'critical'

export interface Limit {
  warning: number
  critical: number
}

export type Gauge = 'cpu' | 'memory' | 'disk' | 'swap' | 'busy' | 'pressure'

// Without a critical rule, critical starts halfway between warning and full.
const from = (warning: number): Limit => ({ warning, critical: (1 + warning) / 2 })

// Of threads that run or wait, twice as many as processors are too many.
export const loadLimit: Limit = { warning: 1, critical: Infinity }

// usual are the limits without a rule.
export const usual: Record<Gauge, Limit> = { cpu: from(0.8), memory: from(0.9), disk: from(0.85), swap: from(0.5), busy: from(0.9), pressure: from(0.4) }

// What a rule can refer to: a metric of the API, in percent, or a series, a ratio.
const measured: Record<Gauge, { metric?: string; series: string }> = {
  cpu: { metric: 'cpu_usage_total', series: 'sysotel_cpu_usage_ratio' },
  memory: { metric: 'memory_percent', series: 'system_memory_utilization_ratio' },
  disk: { metric: 'disk_percent', series: 'sysotel_disk_utilization_ratio' },
  swap: { metric: 'swap_percent', series: 'sysotel_swap_utilization_ratio' },
  busy: { series: 'sysotel_disk_busy_ratio' },
  pressure: { series: 'sysotel_pressure_utilization_ratio' },
}

// An expression that starts by comparing one series or its mean, as a ratio or times 100, in the
// agent's form: "100 * max by (device) (NAME{device!=""}) > 85".
const compared = /^\(*(100 \* )?\(*(?:max (?:by \([^)]*\) )?\()?(?:avg_over_time\()?(\w+)(?:\{([^}]*)\})?(?:\[[\w:]+\])?\)*\s*>=?\s*(\d+(?:\.\d+)?(?:e-?\d+)?)\b/

// thresholdOf returns the ratio at which a rule fires for a whole gauge, or null if
// the rule is about something else or about one device.
function thresholdOf(rule: Rule, gauge: Gauge): number | null {
  const { metric, series } = measured[gauge]
  const t = rule.threshold
  if (t?.metric) return t.metric === metric && t.op.startsWith('>') && Object.keys(t.match ?? {}).length === 0 ? t.threshold / 100 : null
  const [, times = '', name, labels = '', value] = compared.exec(rule.expr) ?? []
  const isWhole = labels.split(',').every((l) => l === '' || l.endsWith('!=""') || l === 'state="used"' || l === 'kind="some"')
  return name === series && isWhole ? Number(value) / (times ? 100 : 1) : null
}

export function limitsOf(rules: Rule[]): Record<Gauge, Limit> {
  return Object.fromEntries((Object.keys(usual) as Gauge[]).map((gauge) => {
    const lowest = (severity: (s: string) => boolean) => Math.min(...rules.flatMap((r) => (r.enabled && severity(r.severity) ? thresholdOf(r, gauge) ?? [] : [])))
    const critical = lowest((s) => s === 'critical')
    // Rules of severity info are not limits.
    const warning = Math.min(critical, lowest((s) => s !== 'critical' && s !== 'info'))
    if (warning === Infinity) return [gauge, usual[gauge]]
    return [gauge, { warning, critical: critical === Infinity ? from(warning).critical : critical }]
  })) as Record<Gauge, Limit>
}

export function levelOf(share: number | null | undefined, limit: Limit): Level {
  if (share === null || share === undefined || share < limit.warning) return 'ok'
  return share < limit.critical ? 'warning' : 'critical'
}
