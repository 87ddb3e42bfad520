import { expect, it } from 'vitest'
import { onGrid, parseShift, placeOf, totals, under, writeShift } from './compare'
import { buildFrame, columns, type Series } from './frame'
import { asked, type Panel } from './panels'

it.each([['1d', 86_400], ['7d', 604_800], ['90m', 5400], ['36h', 129_600], ['61s', 61]])('%s is %d seconds', (text, seconds) => {
  expect(parseShift(text)).toBe(seconds)
  expect(parseShift(writeShift(seconds))).toBe(seconds)
})

it('writes the largest unit', () => { expect([86_400, 129_600, 5400, 61].map(writeShift)).toEqual(['1d', '36h', '90m', '61s']) })

it.each(['0d', '-1d', '1w', '1.5d', 'd', '1d ', 'yesterday', '99999d'])('%s is none', (text) => { expect(parseShift(text)).toBeNull() })

it('is nothing where nothing is said', () => { expect([null, ''].map(parseShift)).toEqual([0, 0]) })

it('is whole steps', () => {
  expect(onGrid(0, 10)).toBe(0)
  expect(onGrid(86_400, 300)).toBe(86_400)
  expect(onGrid(95, 10)).toBe(100)
  // Two days of step, one of shift: it is never compared with itself.
  expect(onGrid(86_400, 2 * 86_400)).toBe(2 * 86_400)
})

const panel = (draw: Panel['draw']): Panel => ({ id: 'p', title: 'P', explain: '', unit: 'none', draw, source: 'host', queries: [{ name: '{{cpu}}', expr: 'x' }, { name: 'out', expr: 'y', below: true }] })
const series = (tag: string, cpu: string, ...values: [number, string][]): Series => ({ metric: { [asked]: tag, cpu }, values })
const earlier = buildFrame(panel('line'), [series('0 mean', 'a', [10, '1'], [20, '2']), series('0 mean', 'b', [20, '5'])], 10, 40, 10)

it('finds the column under a time, the newest one while its step is open', () => {
  expect([110, 120, 123, 140, 150, 100].map((at) => placeOf(earlier, at, 100))).toEqual([0, 1, 2, 3, -1, -1])
  expect(under([110, 120, 123], earlier, 100)).toEqual(new Map([['0 cpu="a"', [1, 2, null]], ['0 cpu="b"', [null, 5, null]]]))
})

it('adds up what is known', () => { expect(totals([[1, null, null], [2, 3, null]], 3)).toEqual([3, 3, null]) })

it('is a line under each line, and one over a stack', () => {
  const frame = buildFrame(panel('line'), [series('0 mean', 'a', [110, '7'], [120, '8']), series('0 mean', 'new', [110, '9'])], 110, 120, 10)
  const was = under(frame.times, earlier, 100)
  expect(columns(panel('line'), frame, 'line', was).map((c) => [c.line, c.part, c.cells])).toEqual([[0, 'before', [1, 2]], [0, 'mean', [7, 8]], [1, 'mean', [9, null]]])
  expect(columns(panel('stack'), frame, 'stack', was).at(-1)).toEqual({ line: -1, part: 'before', cells: [1, 7] })
})

it('is below zero where its line is', () => {
  const out = (...values: [number, string][]): Series => ({ metric: { [asked]: '1 mean' }, values })
  const then = buildFrame(panel('mirror'), [out([10, '3'])], 10, 10, 10)
  const frame = buildFrame(panel('mirror'), [out([110, '4'])], 110, 110, 10)
  expect(columns(panel('mirror'), frame, 'mirror', under(frame.times, then, 100)).map((c) => c.cells)).toEqual([[-3], [-4]])
})
