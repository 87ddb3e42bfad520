// Values as people read them: three significant digits and a unit.

import type { Unit } from './panels.generated'

export type { Unit }

// The user's choice for sizes and traffic.
export interface Measure {
  sizes: 'binary' | 'decimal'
  traffic: 'bytes' | 'bits'
}

export interface Quantity {
  number: string
  unit: string
}

const binary = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']
const decimal = ['', 'k', 'M', 'G', 'T', 'P', 'E']
const short = ['s', 'ms', 'µs', 'ns']

// round keeps three significant digits and never more than two decimals.
export function round(value: number): string {
  const size = Math.abs(value)
  if (size === 0) return '0'
  if (size < 0.005) return value < 0 ? '−0' : '0'
  const decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2
  return value.toFixed(decimals).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '').replace('-', '−')
}

// scale divides a value by base until it is smaller than base.
function scale(value: number, base: number, steps: number): [number, number] {
  let i = 0
  while (Math.abs(value) >= base * 0.9995 && i < steps - 1) {
    value /= base
    i++
  }
  return [value, i]
}

export function quantity(value: number, unit: Unit, measure: Measure): Quantity {
  switch (unit) {
    case 'ratio':
      return { number: percent(value * 100), unit: '%' }
    case 'bytes':
      return bytes(value, measure.sizes === 'binary')
    case 'bytes_per_second': {
      if (measure.traffic === 'bits') {
        const [n, i] = scale(value * 8, 1000, decimal.length)
        return { number: round(n), unit: `${decimal[i]}bit/s` }
      }
      const q = bytes(value, measure.sizes === 'binary')
      return { number: q.number, unit: `${q.unit}/s` }
    }
    case 'hertz': {
      const [n, i] = scale(value, 1000, decimal.length)
      return { number: round(n), unit: `${decimal[i]}Hz` }
    }
    case 'seconds':
      return seconds(value)
    case 'per_second': {
      const [n, i] = scale(value, 1000, decimal.length)
      return { number: round(n), unit: `${decimal[i]}/s` }
    }
    default: {
      const [n, i] = Math.abs(value) < 10_000 ? [value, 0] : scale(value, 1000, decimal.length)
      return { number: i === 0 && Number.isInteger(n) ? String(n).replace('-', '−') : round(n), unit: decimal[i] ?? '' }
    }
  }
}

// percent has one decimal below ten and none above, so that it does not flicker.
function percent(value: number): string {
  const size = Math.abs(value)
  if (size >= 9.95 || size === 0) return value.toFixed(0).replace('-', '−')
  return size < 0.05 ? '0' : value.toFixed(1).replace('-', '−')
}

function bytes(value: number, isBinary: boolean): Quantity {
  if (isBinary) {
    const [n, i] = scale(value, 1024, binary.length)
    return { number: round(n), unit: binary[i] ?? '' }
  }
  const [n, i] = scale(value, 1000, decimal.length)
  return { number: round(n), unit: `${decimal[i]}B` }
}

function seconds(value: number): Quantity {
  const size = Math.abs(value)
  if (size >= 120) {
    const [n, unit] = size >= 2 * 86_400 ? [value / 86_400, 'd'] : size >= 7200 ? [value / 3600, 'h'] : [value / 60, 'min']
    return { number: round(n as number), unit: unit as string }
  }
  let i = 0
  let n = value
  while (i < short.length - 1 && Math.abs(n) < 1 && n !== 0) {
    n *= 1000
    i++
  }
  return { number: round(n), unit: short[i] ?? '' }
}

export function written(value: number | null | undefined, unit: Unit, measure: Measure): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–'
  const q = quantity(value, unit, measure)
  return q.unit === '' || q.unit === '%' ? q.number + q.unit : `${q.number} ${q.unit}`
}

// between formats a band; a unit that both ends share is written once.
export function between(low: number | null | undefined, high: number | null | undefined, unit: Unit, measure: Measure): string {
  const [a, b] = [written(low, unit, measure), written(high, unit, measure)]
  if (a === b) return a
  if (typeof low === 'number' && typeof high === 'number') {
    const [from, to] = [quantity(low, unit, measure), quantity(high, unit, measure)]
    if (from.unit === to.unit || from.number === '0') return `${from.number} – ${b}`
  }
  return `${a} – ${b}`
}

// difference formats how much more a value is than another. Of two shares it is in points,
// whose word is given.
export function difference(value: number, other: number, unit: Unit, measure: Measure, points: string): string {
  const by = value - other
  const size = Math.abs(by)
  const text = unit === 'ratio' ? `${percent(size * 100)} ${points}` : written(size, unit, measure)
  return `${/[1-9]/.test(text) ? (by > 0 ? '+' : '−') : '±'}${text}`
}

// splits returns the grid lines of an axis from low to high, at round numbers
// in the displayed unit.
export function splits(low: number, high: number, unit: Unit, measure: Measure, max: number): number[] {
  const span = high - low
  if (!(span > 0)) return [low]
  const factor = unit === 'bytes_per_second' && measure.traffic === 'bits' ? 1 / 8 : 1
  const isBinary = (unit === 'bytes' || unit === 'bytes_per_second') && factor === 1 && measure.sizes === 'binary'
  const every = isBinary ? roundBinary(span / max) : roundDecimal(span / max / factor) * factor
  const list: number[] = []
  for (let i = Math.ceil(low / every - 1e-9); i * every <= high * (1 + 1e-9); i++) list.push(i * every + 0) // Never −0.
  return list
}

function roundDecimal(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * ([1, 2, 5, 10].find((n) => n * power >= value * (1 - 1e-9)) ?? 10)
}

function roundBinary(value: number): number {
  const power = 1024 ** Math.max(0, Math.floor(Math.log2(value) / 10))
  return power * ([1, 2, 5, 10, 20, 50, 100, 200, 256, 512, 1024].find((n) => n * power >= value * (1 - 1e-9)) ?? 1024)
}
