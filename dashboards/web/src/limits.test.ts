import { expect, it } from 'vitest'
import { levelOf, limitsOf, usual } from './limits'

const rule = (expr: string, severity = 'warning', enabled = true) => ({ expr, severity, enabled })
const threshold = (metric: string, value: number, severity = 'warning', more = {}) => ({ expr: 'as the agent writes it', severity, enabled: true, threshold: { name: 'X', metric, op: '>' as const, threshold: value, enabled: true, ...more } })

it('uses the built-in rules', () => {
  const limits = limitsOf([
    rule('100 * sysotel_cpu_usage_ratio > 75'),
    rule('100 * system_memory_utilization_ratio{state="used"} > 95 or 100 * system_memory_utilization_ratio{system_memory_state="used"} > 95', 'critical'),
    rule('100 * max by (host_name, device) (sysotel_disk_utilization_ratio{device!=""}) > 70 and max by (host_name, device) (sysotel_disk_limit_bytes{device!=""}) > 1024'),
    rule('sysotel_swap_usage_bytes > 0', 'info'),
    rule('predict_linear(sysotel_disk_free_bytes{device!=""}[6h], 24 * 3600) < 0 and sysotel_disk_utilization_ratio{device!=""} > 0.5'),
  ])
  expect(limits.cpu).toEqual({ warning: 0.75, critical: 0.875 })
  expect(limits.memory).toEqual({ warning: 0.95, critical: 0.95 })
  expect(limits.disk).toEqual({ warning: 0.7, critical: 0.85 })
  expect([limits.swap, limits.busy, limits.pressure]).toEqual([usual.swap, usual.busy, usual.pressure])
})

it('uses the built-in rules as the agent writes them', () => {
  const limits = limitsOf([
    rule('100 * avg_over_time(sysotel_cpu_usage_ratio[1m:1s]) > 75'),
    rule('100 * avg_over_time(system_memory_utilization_ratio{state="used"}[1m:1s]) > 95 or 100 * avg_over_time(system_memory_utilization_ratio{system_memory_state="used"}[1m:1s]) > 95', 'critical'),
    rule('100 * max by (host_name, device) (avg_over_time(sysotel_disk_utilization_ratio{device!=""}[1m:1s])) > 70 and max by (host_name, device) (sysotel_disk_limit_bytes{device!=""}) > 256 * 1024 * 1024'),
  ])
  expect([limits.cpu, limits.memory, limits.disk]).toEqual([{ warning: 0.75, critical: 0.875 }, { warning: 0.95, critical: 0.95 }, { warning: 0.7, critical: 0.85 }])
})

it('uses the lowest rule of each severity', () => {
  expect(limitsOf([threshold('cpu_usage_total', 60), threshold('cpu_usage_total', 50), threshold('cpu_usage_total', 90, 'critical')]).cpu).toEqual({ warning: 0.5, critical: 0.9 })
  expect(limitsOf([rule('sysotel_pressure_utilization_ratio{kind="some"} >= 0.2'), rule('(sysotel_disk_busy_ratio) > 0.5')])).toMatchObject({ pressure: { warning: 0.2 }, busy: { warning: 0.5 } })
})

it.each([
  ['there is none', []],
  ['it is off', [rule('100 * sysotel_cpu_usage_ratio > 10', 'warning', false)]],
  ['it is for information', [rule('100 * sysotel_cpu_usage_ratio > 10', 'info')]],
  ['it is about one device', [rule('100 * sysotel_disk_utilization_ratio{device="sda1"} > 10'), threshold('disk_percent', 10, 'warning', { match: { mountpoint: '/data' } })]],
  ['less is worse', [rule('100 * sysotel_cpu_usage_ratio < 10'), threshold('cpu_usage_total', 10, 'warning', { op: '<' })]],
  ['it is about another series', [rule('rate(sysotel_cpu_usage_ratio[5m]) > 0.1'), rule('sysotel_cpu_usage_ratio - 0.1 > 0.1')]],
])('has the usual limits where %s', (_, rules) => { expect(limitsOf(rules)).toEqual(usual) })

it('returns the level of a share', () => {
  expect([0, 0.79, 0.8, 0.89, 0.9, 1, null, undefined].map((s) => levelOf(s, { warning: 0.8, critical: 0.9 }))).toEqual(['ok', 'ok', 'warning', 'warning', 'critical', 'critical', 'ok', 'ok'])
  expect(levelOf(0.95, { warning: 0.95, critical: 0.95 })).toBe('critical')
})
