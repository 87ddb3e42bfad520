import type { Panel } from './panels'
import type { Unit } from './units'

// Custom metrics, from text files and commands: each gets a chart.

// The agent's own metrics, and those that come with them.
const known = /^(system_|sysotel_|process_|node_|scrape_|otel_|hw_|container_(cpu_time|memory_(usage|working_set|rss)|disk_io)_|k8s_pod_(cpu_time|memory_(usage|working_set|rss))_|systemd_service_cpu_time_|target_info$|up$|ALERTS)/
const endings: [RegExp, Unit][] = [[/_bytes(_total)?$/, 'bytes'], [/_seconds(_total)?$/, 'seconds'], [/_ratio$/, 'ratio'], [/_hertz$/, 'hertz']]

// The maximum number of charts.
const maxCharts = 40

// customPanels makes a panel for each custom metric. The minimum and maximum series of
// coarser tiers are not metrics.
export function customPanels(names: string[]): Panel[] {
  const all = new Set(names)
  const isRollup = (name: string) => ['_min', '_max'].some((word) => {
    const at = name.lastIndexOf(word)
    return at > 0 && [name.slice(0, at) + name.slice(at + 4), name.slice(0, at).replace(/_rate$/, '') + '_total'].some((raw) => raw !== name && all.has(raw))
  })
  return names.filter((name) => /^[A-Za-z_]\w*$/.test(name) && !known.test(name) && !name.endsWith('_bucket') && !isRollup(name)).slice(0, maxCharts).map(panelOf)
}

// customPanel is the panel of a custom metric by its id, undefined if it is none's.
export function customPanel(id: string): Panel | undefined {
  const name = /^custom_([A-Za-z_]\w*)$/.exec(id)?.[1]
  return name === undefined || known.test(name) ? undefined : panelOf(name)
}

function panelOf(name: string): Panel {
  const counts = /_(total|count|sum)$/.test(name)
  const unit = endings.find(([ending]) => ending.test(name))?.[1] ?? 'none'
  const rates: Partial<Record<Unit, Unit>> = { bytes: 'bytes_per_second', seconds: 'ratio' }
  return {
    id: `custom_${name}`,
    title: name,
    explain: counts ? `Growth of ${name} per second, as measured here.` : `${name}, as measured here.`,
    unit: counts ? (rates[unit] ?? 'per_second') : unit,
    draw: 'line',
    source: 'host',
    queries: [{ name: '', expr: counts ? `rate(${name}{host_name="$host"}[$rate_window])` : `avg_over_time(${name}{host_name="$host"}[$window])` }],
  }
}
