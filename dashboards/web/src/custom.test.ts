import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { customPanels } from './custom'

it('makes none of the metrics of the agent', () => {
  const document = readFileSync('../../instruments/METRICS.md', 'utf8')
  const names = [...document.matchAll(/^\| `[\w.]+`[^|]*\| `(\w+)`/gm)].map((m) => m[1] ?? '')
  expect(names.length).toBeGreaterThan(150)
  expect(customPanels(names).map((p) => p.title)).toEqual([])
})

it('makes a panel for each custom metric', () => {
  const panels = customPanels(['system_cpu_time_seconds_total', 'sysotel_cpu_usage_ratio', 'node_load1', 'up', 'room_temperature', 'room_temperature_min', 'room_temperature_max', 'room_light_min', 'jobs_done_total', 'jobs_done_rate_max', 'backup_bytes', 'backup_min_bytes', 'wait_seconds_bucket', 'x"} or y{', 'a b'])
  expect(panels.map((p) => [p.title, p.unit])).toEqual([['room_temperature', 'none'], ['room_light_min', 'none'], ['jobs_done_total', 'per_second'], ['backup_bytes', 'bytes']])
  expect(panels[2]?.queries[0]?.expr).toBe('rate(jobs_done_total{host_name="$host"}[$rate_window])')
})

it('has a maximum number of charts', () => { expect(customPanels(Array.from({ length: 100 }, (_, i) => `m${i}`))).toHaveLength(40) })
