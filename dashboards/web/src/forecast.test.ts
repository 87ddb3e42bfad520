import { describe, expect, it } from 'vitest'
import { type Point, trend, untilEmpty } from './forecast'

const hours = (n: number, value: (i: number) => number): Point[] => Array.from({ length: n }, (_, i) => [i * 3600, value(i)])

describe('untilEmpty', () => {
  it('follows what shrinks', () => { expect(untilEmpty(hours(25, (i) => 1000 - 10 * i))).toBeCloseTo(76 * 3600) })
  it('is not bent by a file that came and went', () => { expect(untilEmpty(hours(25, (i) => 1000 - 10 * i - (i === 12 ? 600 : 0)))).toBeCloseTo(76 * 3600) })
  it('says nothing of what grows', () => { expect(untilEmpty(hours(25, (i) => 1000 + i))).toBeNull() })
  it('says nothing of what stands still', () => { expect(untilEmpty(hours(25, () => 1000))).toBeNull() })
  it('says nothing of a short past', () => { expect(untilEmpty(hours(3, (i) => 1000 - i))).toBeNull() })
  it('foretells no more than ten times the past', () => { expect(untilEmpty(hours(25, (i) => 1_000_000 - i))).toBeNull() })
  it('says nothing of nothing', () => { expect(trend([])).toBeNull() })
})
