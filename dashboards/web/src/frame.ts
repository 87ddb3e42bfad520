import { totals } from './compare'
import { asked, colorWord, type Draw, type Panel, readTag, type Role, seriesName } from './panels'

// A frame is the data of a chart: for each line a value at each time, or null. Its
// times are on a grid, so that missing values are gaps and not bridged by a line.

export type Cell = number | null

export interface Line {
  key: string
  query: number
  name: string
  labels: Record<string, string>
  mean: Cell[]
  min: Cell[] | null
  max: Cell[] | null
}

export interface Frame {
  step: number
  times: number[]
  lines: Line[]
  // left are the keys of lines that are left out.
  left: Set<string>
}

// A series of a Prometheus response.
export interface Series {
  metric: Record<string, string>
  values: [number, string][]
}

// More lines than this are unreadable; those with the highest peaks are kept.
export const mostLines = 40

export function buildFrame(panel: Panel, answer: Series[], from: number, to: number, step: number): Frame {
  const first = Math.ceil(from / step - 1e-9) * step
  const count = Math.max(0, Math.floor((to - first) / step + 1e-9) + 1)
  const times = Array.from({ length: count }, (_, i) => first + i * step)
  const lines = new Map<string, Line>()
  for (const series of answer) {
    const tag = readTag(series.metric[asked])
    const query = tag && panel.queries[tag.query]
    if (!tag || !query) continue
    const labels = plainLabels(series.metric)
    const key = lineKey(tag.query, labels)
    let line = lines.get(key)
    if (!line) {
      line = { key, query: tag.query, name: seriesName(query, labels), labels, mean: empty(count), min: null, max: null }
      lines.set(key, line)
    }
    const cells = tag.role === 'mean' ? line.mean : (line[tag.role] ??= empty(count))
    for (const [at, text] of series.values) {
      const i = Math.round((at - first) / step)
      if (i >= 0 && i < count) cells[i] = number(text)
    }
  }
  const all = [...lines.values()]
  const kept = ordered(panel, all)
  const left = new Set(kept.length < all.length ? all.map((line) => line.key) : [])
  for (const line of kept) left.delete(line.key)
  return { step, times, lines: kept, left }
}

const empty = (n: number): Cell[] => new Array<Cell>(n).fill(null)

function number(text: string): Cell {
  const value = Number(text)
  return Number.isFinite(value) ? value : null
}

function plainLabels(metric: Record<string, string>): Record<string, string> {
  const labels: Record<string, string> = {}
  for (const [name, value] of Object.entries(metric)) if (name !== asked && name !== '__name__' && name !== 'host_name') labels[name] = value
  return labels
}

export function lineKey(query: number, labels: Record<string, string>): string {
  return `${query} ${Object.keys(labels).sort().map((name) => `${name}=${JSON.stringify(labels[name])}`).join(',')}`
}

// ordered sorts the lines by query, and those of one query by its list of values
// or in natural order: cpu2 before cpu10.
function ordered(panel: Panel, lines: Line[]): Line[] {
  const collator = new Intl.Collator('en', { numeric: true })
  const place = (line: Line) => colorWord(panel.queries[line.query]!, line.labels).place
  lines.sort((a, b) => a.query - b.query || place(a) - place(b) || collator.compare(a.name, b.name))
  if (lines.length <= mostLines) return lines
  const peak = new Map(lines.map((line) => [line, line.mean.reduce<number>((max, v) => Math.max(max, Math.abs(v ?? 0)), 0)]))
  const kept = new Set([...lines].sort((a, b) => (peak.get(b) ?? 0) - (peak.get(a) ?? 0)).slice(0, mostLines))
  return lines.filter((line) => kept.has(line))
}

export interface Gap {
  from: number
  to: number
}

// findGaps returns the spans without a value in any line, each from the last value
// before to the first one after.
export function findGaps(frame: Frame): Gap[] {
  const gaps: Gap[] = []
  if (frame.lines.length === 0) return gaps
  let from: number | null = null
  frame.times.forEach((at, i) => {
    const isEmpty = frame.lines.every((line) => line.mean[i] === null)
    if (isEmpty && from === null) from = frame.times[i - 1] ?? at - frame.step
    if (!isEmpty && from !== null) {
      gaps.push({ from, to: at })
      from = null
    }
  })
  const last = frame.times.at(-1)
  // The newest step may not be over yet.
  if (from !== null && last !== undefined && last - from > 2 * frame.step) gaps.push({ from, to: last })
  return gaps
}

// A value of a reading for a line.
export interface Sample {
  query: number
  labels: Record<string, string>
  value: number
}

// Growing adds live readings to a frame. The mean, min and max of the newest step
// cover its readings so far.
export class Growing {
  private end = 0
  private sums = new Map<string, { sum: number; n: number; min: number; max: number }>()
  // begun is set while the step has not been joined with what was read before the page was
  // opened.
  private begun = false

  constructor(
    readonly panel: Panel,
    readonly frame: Frame,
  ) {}

  // add takes the values of a reading and drops columns before `from`. It returns what
  // happened to the steps: the first one was begun, after its start, or one is over.
  add(at: number, samples: Sample[], from: number): 'begun' | 'over' | null {
    const { frame } = this
    const end = Math.ceil(at / frame.step - 1e-9) * frame.step
    const last = frame.times.at(-1)
    if (end < this.end || (this.end === 0 && last !== undefined && end <= last)) return null
    const happened = end === this.end ? null : this.end === 0 ? 'begun' : 'over'
    if (end > this.end) this.open(end)
    if (happened === 'begun') this.begun = true
    const i = frame.times.length - 1
    frame.times[i] = Math.min(at, end)
    for (const { query, labels, value } of samples) {
      const key = lineKey(query, labels)
      const line = lineOf(this.panel, frame, key, query, labels)
      if (!line) continue
      const sum = this.sums.get(key) ?? { sum: 0, n: 0, min: Infinity, max: -Infinity }
      sum.sum += value
      sum.n++
      sum.min = Math.min(sum.min, value)
      sum.max = Math.max(sum.max, value)
      this.sums.set(key, sum)
      line.mean[i] = sum.sum / sum.n
      if (line.min) line.min[i] = sum.min
      if (line.max) line.max[i] = sum.max
    }
    trim(frame, from)
    return happened
  }

  // stepStart is when the newest step began.
  get stepStart(): number { return this.end - this.frame.step }

  // join adds to the newest step the n readings before those that were added, of which
  // `before` has one column.
  join(before: Frame, n: number): void {
    const { frame } = this
    if (!this.begun || n <= 0) return
    this.begun = false
    const i = frame.times.length - 1
    for (const old of before.lines) {
      const mean = old.mean.at(-1) ?? null
      const line = mean === null ? undefined : lineOf(this.panel, frame, old.key, old.query, old.labels)
      if (!line || mean === null) continue
      const sum = this.sums.get(old.key) ?? { sum: 0, n: 0, min: Infinity, max: -Infinity }
      sum.sum += mean * n
      sum.n += n
      sum.min = Math.min(sum.min, old.min?.at(-1) ?? mean)
      sum.max = Math.max(sum.max, old.max?.at(-1) ?? mean)
      this.sums.set(old.key, sum)
      line.mean[i] = sum.sum / sum.n
      if (line.min) line.min[i] = sum.min
      if (line.max) line.max[i] = sum.max
    }
  }

  // open starts a step: the previous one gets its final time, skipped ones stay empty.
  private open(end: number): void {
    const { frame } = this
    const last = frame.times.length - 1
    if (this.end > 0 && last >= 0) frame.times[last] = this.end
    extend(frame, end)
    this.end = end
    this.begun = false
    this.sums.clear()
  }
}

// firstOpen returns the time from which a frame that is polled must be asked again: its
// oldest column without a value among the newest, since readings may come late, or of
// three steps ago.
export function firstOpen(frame: Frame, to: number): number {
  let from = to - 3 * frame.step
  if (frame.lines.length === 0) return from
  for (let i = frame.times.length - 1; i >= Math.max(0, frame.times.length - mostAsked); i--) {
    if (frame.lines.every((line) => line.mean[i] === null)) from = Math.min(from, frame.times[i]!)
  }
  return Math.max(from, to - mostAsked * frame.step)
}

// mostAsked bounds the columns that are asked again.
const mostAsked = 60

// append adds a newer, shorter frame with the same step, for charts that poll, and
// drops columns before `from`.
export function append(panel: Panel, frame: Frame, newer: Frame, from: number): void {
  extend(frame, newer.times.at(-1) ?? -Infinity)
  const places = newer.times.map((at) => frame.times.lastIndexOf(at))
  for (const line of newer.lines) {
    const target = lineOf(panel, frame, line.key, line.query, line.labels)
    if (!target) continue
    for (const role of ['mean', 'min', 'max'] as const satisfies Role[]) {
      const cells = line[role]
      if (!cells) continue
      const to = role === 'mean' ? target.mean : (target[role] ??= empty(frame.times.length))
      places.forEach((place, i) => { if (place >= 0 && cells[i] != null) to[place] = cells[i] })
    }
  }
  trim(frame, from)
  frame.lines = frame.lines.filter((line) => line.mean.some((v) => v !== null))
}

// lineOf finds or creates a line; undefined if there are too many.
function lineOf(panel: Panel, frame: Frame, key: string, query: number, labels: Record<string, string>): Line | undefined {
  const known = frame.lines.find((l) => l.key === key)
  if (known) return known
  if (frame.lines.length >= mostLines) {
    frame.left.add(key)
    return undefined
  }
  frame.left.delete(key)
  const line: Line = { key, query, labels, name: seriesName(panel.queries[query]!, labels), mean: empty(frame.times.length), min: null, max: null }
  frame.lines = ordered(panel, [...frame.lines, line])
  return line
}

// extend adds empty columns up to a time.
function extend(frame: Frame, to: number): void {
  const before = frame.times.at(-1) ?? to - frame.step
  // A gap longer than the chart is queried again, not filled.
  for (let at = Math.max(before + frame.step, to - 2000 * frame.step); at <= to + 1e-6; at += frame.step) {
    frame.times.push(at)
    for (const line of frame.lines) {
      line.mean.push(null)
      line.min?.push(null)
      line.max?.push(null)
    }
  }
}

// trim drops the columns before a time.
function trim(frame: Frame, from: number): void {
  const cut = frame.times.findIndex((at) => at >= from - frame.step)
  if (cut <= 0) return
  frame.times.splice(0, cut)
  for (const line of frame.lines) {
    line.mean.splice(0, cut)
    line.min?.splice(0, cut)
    line.max?.splice(0, cut)
  }
}

// A column of drawn data and its role. The line of an earlier total of a stack is -1.
export interface Column {
  line: number
  part: 'mean' | 'min' | 'max' | 'before'
  cells: Cell[]
}

// columns are the frame's lines as drawn: summed when stacked, negated when mirrored; with
// the earlier values of each line, or of the whole stack.
export function columns(panel: Panel, frame: Frame, draw: Draw, earlier?: Map<string, Cell[]>): Column[] {
  if (draw === 'stack') {
    const sum = new Array<number>(frame.times.length).fill(0)
    const isEmpty = frame.times.map((_, at) => frame.lines.every((line) => line.mean[at] === null))
    const stack = frame.lines.map((line, i): Column => ({
      line: i,
      part: 'mean',
      // A missing value adds nothing to a stack.
      cells: line.mean.map((v, at) => (isEmpty[at] ? null : (sum[at] = (sum[at] ?? 0) + (v ?? 0)))),
    }))
    return earlier ? [...stack, { line: -1, part: 'before', cells: totals([...earlier.values()], frame.times.length) }] : stack
  }
  const list: Column[] = []
  const turnOf = (line: Line) => (draw === 'mirror' && panel.queries[line.query]?.below ? turned : same)
  // What was earlier is behind everything.
  frame.lines.forEach((line, i) => {
    const cells = earlier?.get(line.key)
    if (cells) list.push({ line: i, part: 'before', cells: turnOf(line)(cells) })
  })
  frame.lines.forEach((line, i) => {
    const turn = turnOf(line)
    // The band is drawn behind its line.
    if (line.min && line.max) list.push({ line: i, part: 'min', cells: turn(line.min) }, { line: i, part: 'max', cells: turn(line.max) })
    list.push({ line: i, part: 'mean', cells: turn(line.mean) })
  })
  return list
}

const same = (cells: Cell[]): Cell[] => cells
const turned = (cells: Cell[]): Cell[] => cells.map((v) => (v === null ? null : -v))
