import { describe, expect, it } from 'vitest'
import { lineColors } from './colors'
import { boards, colorWord, expand, type Panel, panels, question, rankOf, readTag, seriesName } from './panels'

describe('a question', () => {
  const panel: Panel = { id: 'p', title: '', explain: '', unit: 'ratio', draw: 'line', source: 'host', queries: [{ name: 'a', expr: 'a{host_name="$host"}[$window]', min: 'b', max: 'c' }, { name: 'd', expr: 'd' }] }
  it('holds all queries of a panel', () => {
    expect(question(panel, { host: 'vm', window: 10 }, true)).toBe(
      'label_replace((a{host_name="vm"}[10s]), "sysotel_asked", "0 mean", "", "") or label_replace((b), "sysotel_asked", "0 min", "", "") or label_replace((c), "sysotel_asked", "0 max", "", "") or label_replace((d), "sysotel_asked", "1 mean", "", "")')
    expect(question(panel, { host: 'vm', window: 1 }, false)).not.toContain('min')
  })
  it('can be parsed', () => {
    expect(readTag('12 max')).toEqual({ query: 12, role: 'max' })
    for (const bad of [undefined, '', 'x mean', '1 all']) expect(readTag(bad)).toBeNull()
  })
  it('is not ended by a hostile name', () => {
    expect(expand('x{host_name="$host"}', { host: 'a"} or y{b="\\\n$window', window: 1 })).toBe('x{host_name="a\\"} or y{b=\\"\\\\\\n$window"}')
  })
})

describe('panels.json', () => {
  it('has the first panels of the overview', () => { for (const id of ['cpu', 'memory', 'disk_io_total', 'network_total', 'disk_space', 'pressure', 'load', 'swap']) expect(panels.get(id), id).toBeDefined() })
  it('has no unknown variable', () => { for (const panel of panels.values()) expect(question(panel, { host: 'vm', window: 10 }, true), panel.id).not.toMatch(/\$/) })
  it('has no board without a panel of the agent', () => { for (const b of boards) expect(b.panels.length, b.id).toBeGreaterThan(0) })
})

describe('series', () => {
  const query = { name: '{{device}} read', expr: '' }
  it('have names', () => {
    expect(seriesName(query, { device: 'sda' })).toBe('sda read')
    expect(seriesName({ name: '{{a}}', expr: '' }, { b: 'c' })).toBe('c')
    expect(seriesName({ name: '{{a}}', expr: '' }, {})).toBe('{{a}}')
  })
  it('have the color of their word on every chart', () => {
    const modes = panels.get('cpu_modes')!
    const colors = lineColors(modes, [{ query: 0, labels: { state: 'user' } }, { query: 0, labels: { state: 'wait' } }, { query: 0, labels: { state: 'new' } }], 'dark')
    expect(new Set(colors).size).toBe(3)
    expect(lineColors(modes, [{ query: 0, labels: { state: 'wait' } }], 'dark')[0]).toBe(colors[1])
    expect(colorWord(modes.queries[0]!, { state: 'new' }).word).toBeUndefined()
  })
  it('of one device have one color above and below zero', () => {
    const io = panels.get('disk_io')!
    const [a, b, c] = lineColors(io, [{ query: 0, labels: { device: 'sda', direction: 'read' } }, { query: 1, labels: { device: 'sda', direction: 'write' } }, { query: 0, labels: { device: 'sdb', direction: 'read' } }], 'light')
    expect(a).toBe(b)
    expect(a).not.toBe(c)
  })
})

it('knows what a panel is about', () => {
  const rank = (id: string) => rankOf(panels.get(id)!)
  expect([rank('cpu'), rank('load'), rank('memory'), rank('swap'), rank('disk_io_total'), rank('network_total')]).toEqual(['cpu', 'cpu', 'memory', 'memory', 'write', 'cpu'])
})
