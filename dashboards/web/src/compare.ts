import type { Cell, Frame } from './frame'

// A comparison draws the same chart of an earlier time under each chart. A shift is how
// much earlier that is, in seconds; 0 compares nothing.

const units = { d: 86_400, h: 3600, m: 60, s: 1 } as const

// longest is as long as anything can be kept.
const longest = 20 * 365 * units.d

// parseShift reads a shift such as 7d, null if it is none.
export function parseShift(text: string | null): number | null {
  if (!text) return 0
  const m = /^(\d{1,9})([dhms])$/.exec(text)
  const seconds = m ? Number(m[1]) * units[m[2] as keyof typeof units] : 0
  return seconds > 0 && seconds <= longest ? seconds : null
}

export function writeShift(seconds: number): string {
  const unit = (Object.keys(units) as (keyof typeof units)[]).find((u) => seconds % units[u] === 0) ?? 's'
  return `${seconds / units[unit]}${unit}`
}

// onGrid is the shift of a chart: whole steps, at least one.
export const onGrid = (shift: number, step: number): number => (shift === 0 ? 0 : Math.max(1, Math.round(shift / step)) * step)

// placeOf is the column of an earlier frame that belongs under a time, -1 if there is none.
export function placeOf(earlier: Frame, at: number, shift: number): number {
  const { step, times: [first] } = earlier
  if (first === undefined) return -1
  const i = Math.round((Math.ceil(at / step - 1e-9) * step - shift - first) / step)
  return i >= 0 && i < earlier.times.length ? i : -1
}

// under returns the earlier values of each line, by its key, at the times of a chart.
export function under(times: number[], earlier: Frame, shift: number): Map<string, Cell[]> {
  const places = times.map((at) => placeOf(earlier, at, shift))
  return new Map(earlier.lines.map((line) => [line.key, places.map((i) => line.mean[i] ?? null)]))
}

// totals adds up columns; a time without any value has none.
export function totals(all: Cell[][], count: number): Cell[] {
  return Array.from({ length: count }, (_, at) => all.reduce<Cell>((sum, cells) => (cells[at] == null ? sum : (sum ?? 0) + cells[at]), null))
}
