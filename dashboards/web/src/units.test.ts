import { describe, expect, it } from 'vitest'
import { between, difference, type Measure, round, splits, type Unit, written } from './units'

const plain: Measure = { sizes: 'binary', traffic: 'bytes' }
const other: Measure = { sizes: 'decimal', traffic: 'bits' }

describe('written', () => {
  it.each<[number | null, Unit, Measure, string]>([
    [0.4321, 'ratio', plain, '43%'],
    [0.0321, 'ratio', plain, '3.2%'],
    [0.9999, 'ratio', plain, '100%'],
    [0.0001, 'ratio', plain, '0%'],
    [1, 'ratio', plain, '100%'],
    [1536, 'bytes', plain, '1.5 KiB'],
    [1536, 'bytes', other, '1.54 kB'],
    [1023.9, 'bytes', plain, '1 KiB'],
    [25_276_063_744, 'bytes', plain, '23.5 GiB'],
    [1_250_000, 'bytes_per_second', other, '10 Mbit/s'],
    [1_250_000, 'bytes_per_second', plain, '1.19 MiB/s'],
    [2.4456e9, 'hertz', plain, '2.45 GHz'],
    [0.003243, 'seconds', plain, '3.24 ms'],
    [0.00018, 'seconds', plain, '180 µs'],
    [11_600, 'seconds', plain, '3.22 h'],
    [0, 'seconds', plain, '0 s'],
    [1234, 'count', plain, '1234'],
    [123_456, 'count', plain, '123 k'],
    [12.3456, 'none', plain, '12.3'],
    [-1536, 'bytes', plain, '−1.5 KiB'],
    [null, 'ratio', plain, '–'],
    [Number.NaN, 'ratio', plain, '–'],
    [Number.POSITIVE_INFINITY, 'bytes', plain, '–'],
  ])('%d %s', (value, unit, measure, want) => { expect(written(value, unit, measure)).toBe(want) })
})

it('keeps three digits', () => {
  expect([0, 0.004, 0.126, 1.239, 12.39, 123.9, 9.999].map(round)).toEqual(['0', '0', '0.13', '1.24', '12.4', '124', '10'])
})

it('writes a difference with its sign', () => {
  expect(difference(0.5, 0.2, 'ratio', plain, 'points')).toBe('+30 points')
  expect(difference(0.2, 0.213, 'ratio', plain, 'points')).toBe('−1.3 points')
  expect(difference(0.2, 0.2001, 'ratio', plain, 'points')).toBe('±0 points')
  expect(difference(1024, 3 * 1024, 'bytes', plain, 'points')).toBe('−2 KiB')
  expect(difference(0.003, 0.001, 'seconds', plain, 'points')).toBe('+2 ms')
  expect(difference(7, 7, 'count', plain, 'points')).toBe('±0')
})

it('writes a shared unit once', () => {
  expect(between(0.1, 0.5, 'ratio', plain)).toBe('10 – 50%')
  expect(between(0, 1 << 20, 'bytes', plain)).toBe('0 – 1 MiB')
  expect(between(2048, 1 << 20, 'bytes', plain)).toBe('2 KiB – 1 MiB')
  expect(between(0, 0, 'ratio', plain)).toBe('0%')
})

describe('splits', () => {
  it('are round numbers', () => {
    expect(splits(0, 1, 'ratio', plain, 4)).toEqual([0, 0.5, 1])
    expect(splits(0, 1024 * 1024 * 350, 'bytes', plain, 4)).toEqual([0, 1, 2, 3].map((n) => n * 100 * 1024 * 1024))
    expect(splits(0, 1_000_000, 'bytes_per_second', other, 4).map((v) => v * 8)).toEqual([0, 2e6, 4e6, 6e6, 8e6])
  })
  it('are few on any axis', () => {
    for (const unit of ['ratio', 'bytes', 'bytes_per_second', 'seconds', 'count'] as const) {
      for (const high of [1e-6, 0.02, 1, 37, 1e6, 1e12]) {
        const n = splits(-high / 3, high, unit, plain, 4).length
        expect(n).toBeGreaterThanOrEqual(1)
        expect(n).toBeLessThanOrEqual(7)
      }
    }
  })
})
