import { describe, expect, it } from 'vitest'
import { append, buildFrame, columns, findGaps, firstOpen, Growing, mostLines, type Series } from './frame'
import { asked, type Panel } from './panels'

const panel = (draw: Panel['draw'] = 'line', queries: Panel['queries'] = [{ name: '{{cpu}}', expr: 'x' }, { name: 'out', expr: 'y', below: true }]): Panel => ({
  id: 'p', title: 'P', explain: '', unit: 'none', draw, source: 'host', queries,
})
const series = (tag: string, labels: Record<string, string>, ...values: [number, string][]): Series => ({ metric: { [asked]: tag, host_name: 'vm', ...labels }, values })

describe('a frame', () => {
  const frame = buildFrame(panel(), [
    series('0 mean', { cpu: 'cpu10' }, [10, '1'], [20, '2'], [40, '4']),
    series('0 mean', { cpu: 'cpu2' }, [10, '7']),
    series('0 max', { cpu: 'cpu10' }, [10, '3'], [20, 'NaN']),
    series('0 min', { cpu: 'cpu10' }, [10, '0']),
    series('9 mean', {}, [10, '1']),
    { metric: {}, values: [[10, '1']] },
  ], 10, 40, 10)
  it('is on a grid, with null for missing values', () => {
    expect(frame.times).toEqual([10, 20, 30, 40])
    expect(frame.lines.map((l) => [l.name, l.mean])).toEqual([['cpu2', [7, null, null, null]], ['cpu10', [1, 2, null, 4]]])
  })
  it('has min and max if the response has them', () => {
    expect(frame.lines[1]).toMatchObject({ max: [3, null, null, null], min: [0, null, null, null] })
    expect(frame.lines[0]?.max).toBeNull()
  })
  it('keeps the lines with the highest peaks', () => {
    const many = buildFrame(panel(), Array.from({ length: 100 }, (_, i) => series('0 mean', { cpu: `cpu${i}` }, [10, String(i)])), 10, 10, 10)
    expect(many.lines).toHaveLength(mostLines)
    expect(many.lines.at(-1)?.name).toBe('cpu99')
  })
  it('treats a hostile name as a name', () => {
    const name = '<img src=x onerror=alert(1)>\u0000"}'
    expect(buildFrame(panel(), [series('0 mean', { cpu: name }, [10, '1'])], 10, 10, 10).lines[0]?.name).toBe(name)
  })
})

describe('gaps', () => {
  const of = (...cells: (number | null)[]) => findGaps(buildFrame(panel(), [series('0 mean', {}, ...cells.flatMap((v, i): [number, string][] => (v === null ? [] : [[i + 1, String(v)]])))], 1, cells.length, 1))
  it('reach from the value before to the one after', () => { expect(of(1, null, null, 1)).toEqual([{ from: 1, to: 4 }]) })
  it('can be at the start', () => { expect(of(null, null, 1)).toEqual([{ from: 0, to: 3 }]) })
  it('exclude an unfinished newest step', () => { expect(of(1, 1, null)).toEqual([]) })
  it('can be at the end', () => { expect(of(1, null, null, null)).toEqual([{ from: 1, to: 4 }]) })
  it('are absent in complete data', () => { expect(of(1, 2, 3)).toEqual([]) })
})

describe('columns', () => {
  it('are summed in a stack, with gaps kept', () => {
    const frame = buildFrame(panel('stack'), [series('0 mean', { cpu: 'a' }, [1, '1'], [2, '2']), series('0 mean', { cpu: 'b' }, [1, '10'], [4, '4'])], 1, 4, 1)
    expect(columns(panel('stack'), frame, 'stack').map((c) => c.cells)).toEqual([[1, 2, null, 0], [11, 2, null, 4]])
  })
  it('are negated below zero', () => {
    const frame = buildFrame(panel('mirror'), [series('0 mean', { cpu: 'a' }, [1, '1']), series('1 mean', {}, [1, '2'])], 1, 1, 1)
    expect(columns(panel('mirror'), frame, 'mirror').map((c) => c.cells)).toEqual([[1], [-2]])
  })
})

describe('growing', () => {
  const start = () => buildFrame(panel(), [series('0 mean', { cpu: 'a' }, [10, '1'], [20, '1']), series('0 max', { cpu: 'a' }, [10, '1'], [20, '1']), series('0 min', { cpu: 'a' }, [10, '1'], [20, '1'])], 10, 20, 10)
  const sample = (value: number) => [{ query: 0, labels: { cpu: 'a' }, value }]
  it('averages the readings of a step', () => {
    const frame = start()
    const growing = new Growing(panel(), frame)
    growing.add(21, sample(2), 0)
    growing.add(22, sample(4), 0)
    expect(frame.times).toEqual([10, 20, 22])
    expect(frame.lines[0]).toMatchObject({ mean: [1, 1, 3], min: [1, 1, 2], max: [1, 1, 4] })
    growing.add(30, sample(6), 0)
    growing.add(31, sample(5), 0)
    expect(frame.times).toEqual([10, 20, 30, 31])
    expect(frame.lines[0]?.mean).toEqual([1, 1, 4, 5])
  })
  it('leaves missed steps empty', () => {
    const frame = start()
    new Growing(panel(), frame).add(55, sample(2), 0)
    expect(frame.times).toEqual([10, 20, 30, 40, 50, 55])
    expect(frame.lines[0]?.mean).toEqual([1, 1, null, null, null, 2])
  })
  it('drops what has left the range', () => {
    const frame = start()
    new Growing(panel(), frame).add(31, sample(2), 31)
    expect(frame.times[0]).toBeGreaterThanOrEqual(21)
    expect(frame.lines[0]?.mean).toHaveLength(frame.times.length)
  })
  it('ignores a repeated reading', () => {
    const frame = start()
    const growing = new Growing(panel(), frame)
    growing.add(20, sample(9), 0)
    expect(frame.lines[0]?.mean).toEqual([1, 1])
  })
  it('says when a step is begun and over', () => {
    const growing = new Growing(panel(), start())
    expect([growing.add(23, sample(2), 0), growing.add(24, sample(2), 0), growing.add(31, sample(2), 0)]).toEqual(['begun', null, 'over'])
    expect(growing.stepStart).toBe(30)
  })
  it('joins the readings of before to the step that is open', () => {
    const frame = start()
    const growing = new Growing(panel(), frame)
    growing.add(28, sample(10), 0)
    growing.add(29, sample(10), 0)
    // Seven readings from 21 to 27, of mean 1 and with a spike.
    const before = buildFrame(panel(), [series('0 mean', { cpu: 'a' }, [27, '1']), series('0 max', { cpu: 'a' }, [27, '90']), series('0 min', { cpu: 'a' }, [27, '0.5']), series('0 mean', { cpu: 'ended' }, [27, '3'])], 27, 27, 1)
    growing.join(before, 7)
    expect(frame.lines[0]).toMatchObject({ name: 'a', mean: [1, 1, 3], min: [1, 1, 0.5], max: [1, 1, 90] })
    expect(frame.lines[1]).toMatchObject({ name: 'ended', mean: [null, null, 3] })
    growing.join(before, 7) // Once is enough.
    growing.add(30, sample(10), 0)
    expect(frame.lines[0]?.mean.at(-1)).toBeCloseTo(3.7)
  })
  it('joins nothing to a later step', () => {
    const frame = start()
    const growing = new Growing(panel(), frame)
    growing.add(30, sample(2), 0)
    growing.add(31, sample(4), 0)
    growing.join(buildFrame(panel(), [series('0 mean', { cpu: 'a' }, [29, '100'])], 29, 29, 1), 9)
    expect(frame.lines[0]?.mean).toEqual([1, 1, 2, 4])
  })
  it('counts the lines that are left out', () => {
    const many = (n: number) => Array.from({ length: n }, (_, i) => series('0 mean', { cpu: `cpu${i}` }, [10, String(i)]))
    expect(buildFrame(panel(), many(mostLines), 10, 10, 10).left.size).toBe(0)
    const frame = buildFrame(panel(), many(mostLines + 5), 10, 10, 10)
    expect(frame.left.size).toBe(5)
    new Growing(panel(), frame).add(11, [...Array(mostLines + 7).keys()].map((i) => ({ query: 0, labels: { cpu: `cpu${i}` }, value: 1 })), 0)
    expect([frame.lines.length, frame.left.size]).toEqual([mostLines, 7])
  })
  it('adds a new line', () => {
    const frame = start()
    new Growing(panel(), frame).add(21, [{ query: 0, labels: { cpu: 'b' }, value: 8 }], 0)
    expect(frame.lines.map((l) => l.mean)).toEqual([[1, 1, null], [null, null, 8]])
  })
})

describe('what is asked again', () => {
  const of = (...cells: (number | null)[]) => firstOpen(buildFrame(panel(), [series('0 mean', {}, ...cells.flatMap((v, i): [number, string][] => (v === null ? [] : [[i + 1, String(v)]])))], 1, cells.length, 1), cells.length + 1)
  it('are three steps', () => { expect(of(1, 1, 1, 1, 1, 1)).toBe(4) })
  it('begin with the oldest hole, since readings may be late', () => { expect(of(1, 1, null, null, null, null, null, null)).toBe(3) })
  it('have a bound', () => { expect(of(1, ...Array<null>(99).fill(null))).toBe(41) })
})

describe('appending', () => {
  const one = () => buildFrame(panel(), [series('0 mean', { cpu: 'a' }, [10, '1'], [20, '1'])], 10, 20, 10)
  const two = buildFrame(panel(), [series('0 mean', { cpu: 'a' }, [20, '2'], [30, '3']), series('0 mean', { cpu: 'b' }, [30, '4']), series('0 max', { cpu: 'b' }, [30, '5'])], 20, 30, 10)
  it('replaces older values by newer ones', () => {
    const frame = one()
    append(panel(), frame, two, 0)
    expect(frame.times).toEqual([10, 20, 30])
    expect(frame.lines.map((l) => [l.mean, l.max])).toEqual([[[1, 2, 3], null], [[null, null, 4], [null, null, 5]]])
  })
  it('drops what has left the range, and lines without values', () => {
    const frame = one()
    append(panel(), frame, buildFrame(panel(), [series('0 mean', { cpu: 'b' }, [40, '4'])], 40, 50, 10), 40)
    expect(frame.times).toEqual([30, 40, 50])
    expect(frame.lines.map((l) => [l.name, l.mean])).toEqual([['b', [null, 4, null]]])
  })
  it('leaves unanswered steps empty', () => {
    const frame = one()
    append(panel(), frame, buildFrame(panel(), [], 30, 40, 10), 0)
    expect(frame.lines.map((l) => l.mean)).toEqual([[1, 1, null, null]])
  })
  it('starts an empty frame', () => {
    const frame = buildFrame(panel(), [], 10, 20, 10)
    append(panel(), frame, two, 0)
    expect(frame.lines.map((l) => l.mean)).toEqual([[null, 2, 3], [null, null, 4]])
  })
})
