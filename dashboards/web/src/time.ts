import { clocks, stored } from './choice'

// Times are Unix seconds, except in the address bar, where they are readable RFC 3339.

export const presets = ['5m', '1h', '6h', '24h', '7d', '30d', '1y'] as const
export type Preset = (typeof presets)[number]

const minute = 60
const hour = 60 * minute
export const day = 24 * hour

export const presetSeconds: Record<Preset, number> = {
  '5m': 5 * minute,
  '1h': hour,
  '6h': 6 * hour,
  '24h': day,
  '7d': 7 * day,
  '30d': 30 * day,
  '1y': 365 * day,
}

// A range is a preset that ends now, or two fixed times.
export type Range = { preset: Preset } | { from: number; to: number }

export interface Span {
  from: number
  to: number
}

export const isLive = (range: Range): range is { preset: Preset } => 'preset' in range

// spanOf returns the start and end of a range.
export function spanOf(range: Range, now: number): Span {
  return isLive(range) ? { from: now - presetSeconds[range.preset], to: now } : range
}

export const lengthOf = (range: Range): number => (isLive(range) ? presetSeconds[range.preset] : range.to - range.from)

// Readable steps: each divides the next unit of time.
const steps = [1, 2, 5, 10, 15, 30, minute, 2 * minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, day]

// stepFor returns the shortest step with at most so many points.
export function stepFor(seconds: number, points: number): number {
  return steps.find((step) => seconds / step <= points) ?? Math.ceil(seconds / points / day) * day
}

// parseMoment parses RFC 3339 or Unix seconds, null if it is neither.
export function parseMoment(text: string | null | undefined): number | null {
  if (!text) return null
  if (/^\d{1,12}(\.\d+)?$/.test(text)) return Number(text)
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i.test(text)) return null
  const at = Date.parse(text)
  return Number.isNaN(at) ? null : at / 1000
}

// writeMoment formats a time as RFC 3339 in UTC, without fraction if it is whole.
export function writeMoment(seconds: number): string {
  return new Date(Math.round(seconds * 1000)).toISOString().replace('.000Z', 'Z')
}

// The viewer's time zone.
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'

// zoneName is the zone with its UTC offset, "Asia/Seoul, UTC+09:00"; with both where it
// changes between two times.
export function zoneName(from: number, to = from): string {
  const [a, b] = [offset(from), offset(to)]
  return `${zone}, ${a}${a === b ? '' : ` – ${b}`}`
}

function offset(at: number): string {
  const minutes = -new Date(at * 1000).getTimezoneOffset()
  const two = (n: number) => String(Math.trunc(Math.abs(n))).padStart(2, '0')
  return `UTC${minutes < 0 ? '−' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`
}

// A datetime-local field has local time without a zone.
export function toField(seconds: number): string {
  const local = new Date(seconds * 1000)
  return new Date(local.getTime() - local.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}

// fromField reads it. An hour that is there twice, when summer time ends, is its first
// one, or the first that is after a moment.
export function fromField(text: string, after = -Infinity): number | null {
  const at = new Date(text).getTime() / 1000
  if (Number.isNaN(at)) return null
  const same = [at - hour, at - hour / 2, at, at + hour / 2, at + hour].filter((one) => toField(one) === toField(at))
  return same.find((one) => one > after) ?? same.at(-1)!
}

// hourCycle is that of the clock that was chosen.
const hourCycle = stored('clock', clocks)

const formats = new Map<string, Intl.DateTimeFormat>()

function format(language: string, key: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const id = `${language} ${key}`
  let f = formats.get(id)
  if (!f) formats.set(id, (f = new Intl.DateTimeFormat(language, { hourCycle, ...options })))
  return f
}

const clock: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' }
const dayAndMonth: Intl.DateTimeFormatOptions = { month: 'short', day: 'numeric' }

// All charts share ticks, and keep them with each reading.
const tickLabels = new Map<string, string>()

// tickLabel formats a time on an axis whose ticks are so many seconds apart.
export function tickLabel(at: number, every: number, language: string): string {
  const id = `${at} ${every} ${language}`
  let label = tickLabels.get(id)
  if (label === undefined) {
    if (tickLabels.size >= 200) tickLabels.clear()
    tickLabels.set(id, (label = makeTickLabel(at, every, language)))
  }
  return label
}

function makeTickLabel(at: number, every: number, language: string): string {
  const date = new Date(at * 1000)
  if (every < minute) return format(language, 'second', { ...clock, second: '2-digit' }).format(date)
  if (every < day) {
    return date.getHours() === 0 && date.getMinutes() === 0 ? format(language, 'day', dayAndMonth).format(date) : format(language, 'minute', clock).format(date)
  }
  return every < 28 * day ? format(language, 'day', dayAndMonth).format(date) : format(language, 'month', { month: 'short', year: 'numeric' }).format(date)
}

// momentLabel formats a time, with its date if that is not today.
export function momentLabel(at: number, language: string, now: number, seconds = true): string {
  const date = new Date(at * 1000)
  const today = new Date(now * 1000)
  const options: Intl.DateTimeFormatOptions = seconds ? { ...clock, second: '2-digit' } : clock
  if (date.toDateString() === today.toDateString()) return format(language, `clock ${seconds}`, options).format(date)
  const year: Intl.DateTimeFormatOptions = date.getFullYear() === today.getFullYear() ? {} : { year: 'numeric' }
  return format(language, `moment ${seconds} ${year.year}`, { ...dayAndMonth, ...year, ...options }).format(date)
}

// spanLabel formats a range.
export function spanLabel(span: Span, language: string, now: number): string {
  const [a, b] = [offset(span.from), offset(span.to)]
  const told = (at: number, o: string) => `${momentLabel(at, language, now)}${a === b ? '' : ` ${o}`}`
  return `${told(span.from, a)} – ${told(span.to, b)}`
}

// Creating a formatter is expensive; using it is cheap.
const amounts = new Map<string, Intl.NumberFormat>()

function amount(language: string, unit: string, unitDisplay: 'short' | 'long'): Intl.NumberFormat {
  const id = `${language} ${unit} ${unitDisplay}`
  let f = amounts.get(id)
  if (!f) amounts.set(id, (f = new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay })))
  return f
}

const units: [string, number][] = [['day', day], ['hour', hour], ['minute', minute], ['second', 1]]

// durationLabel formats a duration in its largest unit, or its two largest.
export function durationLabel(seconds: number, language: string, parts = 1): string {
  const words: string[] = []
  let rest = parts === 1 ? seconds : Math.floor(seconds)
  for (const [unit, size] of units) {
    if (rest < size && !(unit === 'second' && words.length === 0)) {
      if (words.length > 0) break
      continue
    }
    const last = words.length + 1 === parts || unit === 'second'
    const n = last && parts === 1 ? Math.round(rest / size) : Math.floor(rest / size)
    words.push(amount(language, unit, parts > 1 ? 'short' : 'long').format(n))
    rest -= n * size
    if (last) break
  }
  return words.join(' ')
}

// stepLabel formats a step briefly: "5 min".
export function stepLabel(seconds: number, language: string): string {
  const [unit, size] = units.find(([, size]) => seconds >= size && seconds % size === 0) ?? ['second', 1]
  return amount(language, unit, 'short').format(seconds / size)
}

// tierSeconds returns the resolution of the coarsest tier that answered, from the header
// of an answer such as "1m;source=local-cache, 1s"; 0 if it says none.
export function tierSeconds(header: string): number {
  const sizes: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 }
  return Math.max(0, ...header.split(',').map((tier) => {
    const m = /^\s*(\d+)([smhd])\b/.exec(tier)
    return m ? Number(m[1]) * sizes[m[2]!]! : 0
  }))
}
