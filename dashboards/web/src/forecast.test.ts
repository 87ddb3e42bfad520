import { describe, expect, it } from 'vitest'
import { type Point, trend, untilEmpty } from './forecast'

const hours = (n: number, value: (i: number) => number): Point[] => Array.from({ length: n }, (_, i) => [i * 3600, value(i)])

describe('untilEmpty', () => {
  it('follows a shrinking value', () => { expect(untilEmpty(hours(25, (i) => 1000 - 10 * i))).toBeCloseTo(76 * 3600) })
  it('ignores a temporary file', () => { expect(untilEmpty(hours(25, (i) => 1000 - 10 * i - (i === 12 ? 600 : 0)))).toBeCloseTo(76 * 3600) })
  it('is null for a growing value', () => { expect(untilEmpty(hours(25, (i) => 1000 + i))).toBeNull() })
  it('is null for a constant value', () => { expect(untilEmpty(hours(25, () => 1000))).toBeNull() })
  it('is null for a short history', () => { expect(untilEmpty(hours(3, (i) => 1000 - i))).toBeNull() })
  it('forecasts at most ten times the history', () => { expect(untilEmpty(hours(25, (i) => 1_000_000 - i))).toBeNull() })
  it('is null without data', () => { expect(trend([])).toBeNull() })
})
