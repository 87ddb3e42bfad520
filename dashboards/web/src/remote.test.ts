import { expect, it } from 'vitest'
import { asked } from './panels'
import { pageAt, remoteOf, remoteQuestion } from './remote'

const f = (name: string, value: number, labels: Record<string, string> = {}) => ({ metric: { [asked]: name, ...labels }, value: [1, String(value)] as [number, string] })

it('reads a machine from its series', () => {
  const { facts, uptime } = remoteOf([
    f('cpu', 0.5), f('cores', 4), f('uptime', 60), f('disk', 0.9, { mountpoint: '/' }), f('diskFree', 10, { mountpoint: '/' }), f('diskTotal', 100, { mountpoint: '/' }),
    f('disk', 0.1, { mountpoint: '/half-known' }), f('busy', 0.2, { device: 'sda' }), f('busy', 0.7, { device: 'sdb' }), f('network', 5, { direction: 'transmit' }), f('load', Number.NaN),
  ])
  expect(uptime).toBe(60)
  expect(facts).toMatchObject({ cpu: 0.5, cores: 4, load: null, filesystems: [{ mount: '/', share: 0.9, free: 10, total: 100 }], busiest: { device: 'sdb', share: 0.7 }, network: { received: null, sent: 5 } })
})

it('has null for what is unknown', () => { expect(remoteOf([]).facts).toMatchObject({ cpu: null, filesystems: [], busiest: null, pressure: null }) })

it('is not ended by a hostile name', () => { expect(remoteQuestion('a"} or x{b="$&')).toContain('{host_name="a\\"} or x{b=\\"$&"}') })

it('links to http and https only', () => {
  expect(pageAt('https://there.example:8443/box/')).toBe('https://there.example:8443/box')
  expect(pageAt('http://10.0.0.5:8080')).toBe('http://10.0.0.5:8080')
  for (const bad of [undefined, '', 'there.example', '/box', 'javascript:alert(1)', 'data:text/html,x', 'ftp://there.example']) expect(pageAt(bad), bad).toBeNull()
  expect(remoteOf([f('agent', 1, { url: 'javascript:alert(1)' }), f('agent', 1, { url: 'https://there.example' })]).url).toBe('https://there.example')
})

it('knows when it was last read, and how often', () => {
  const at = (readings: number) => remoteOf([f('newest', 1_770_000_000, { started: 'a' }), f('newest', 1_770_000_060, { started: 'b' }), f('readings', 3, { started: 'a' }), f('readings', readings, { started: 'b' })])
  expect(at(600)).toMatchObject({ newest: 1_770_000_060, interval: 1 })
  expect(at(10).interval).toBe(60)
  expect(remoteOf([])).toMatchObject({ newest: null, interval: 1 })
})
