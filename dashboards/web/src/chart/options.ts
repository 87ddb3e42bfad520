import type uPlot from 'uplot'
import { clear, shadeOf } from '../colors'
import type { Column, Frame, Gap } from '../frame'
import type { Panel } from '../panels'
import { tickLabel } from '../time'
import { type Measure, splits, written } from '../units'

// The uPlot options of a chart.

export interface Look {
  ink: string
  soft: string
  grid: string
  card: string
  gap: string
  mark: string
  warning: string
  critical: string
  font: string
}

export interface Mark {
  at: number
  color: string
  label: string
  // solid marks the selected time, not an event.
  solid?: boolean
}

export interface Shown {
  gaps: { gap: Gap; label: string }[]
  marks: Mark[]
  from: number
  to: number
}

interface Handlers {
  shown: () => Shown
  moved: (u: uPlot, idx: number | null) => void
  selected: (from: number, to: number) => void
  back: () => void
}

// floor is the minimum height of an axis, so that noise stays small.
const floor: Record<Panel['unit'], number> = {
  ratio: 0.02, bytes: 1 << 20, bytes_per_second: 10 << 10, per_second: 1, seconds: 0.001, hertz: 1e6, count: 4, none: 1,
}

export function yRange(panel: Panel, low: number | null, high: number | null): [number, number] {
  const min = floor[panel.unit]
  const top = Math.max(high ?? 0, 0)
  if (panel.draw === 'mirror') {
    const bottom = Math.min(low ?? 0, 0)
    const size = Math.max(top, -bottom, min)
    // Neither half is so small that labels overlap.
    return [Math.min(bottom * 1.08, -size * 0.25), Math.max(top * 1.08, size * 0.25)]
  }
  if (panel.max !== undefined) return [0, Math.max(panel.max, top > panel.max * 1.02 ? top * 1.05 : 0)]
  return [0, Math.max(top * 1.08, min)]
}

// power is an exact power of ten; 10 ** -4 is none.
const power = (exponent: number): number => Number(`1e${exponent}`)

// logRange is the range of a logarithmic axis: whole powers of ten, six at most.
export function logRange(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null || !(high > 0)) return [0.001, 1]
  const top = Math.ceil(Math.log10(high) - 1e-9)
  const bottom = Math.floor(Math.log10(Math.max(low, power(top - 6))) + 1e-9)
  return [power(Math.min(bottom, top - 1)), power(top)]
}

// decades are the powers of ten from one to another.
export function decades(low: number, high: number): number[] {
  const [first, last] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))]
  return Array.from({ length: Math.max(1, last - first + 1) }, (_, i) => power(first + i))
}

// canBeLog reports whether a panel may have a logarithmic axis: latencies do.
export const canBeLog = (panel: Panel): boolean => panel.unit === 'seconds' && panel.draw === 'line'

// listed are the names in a parameter of the address.
export const listed = (text: string | undefined): string[] => (text ?? '').split(',').filter(Boolean)

// every lists the tick distances of the time axis, in seconds, so that a narrow chart has
// more than one.
const minute = 60
const hour = 3600
const day = 24 * hour
const every = [1, 2, 5, 10, 15, 30, minute, 2 * minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 5 * day, 10 * day, 15 * day, 30 * day, 60 * day, 90 * day, 120 * day, 180 * day, 365 * day]

// alone lists the points without a neighbor: no line goes through them.
function alone(u: uPlot, si: number): number[] {
  const cells = u.data[si] ?? []
  const found: number[] = []
  for (let i = 0; i < cells.length; i++) {
    if (cells[i] != null && cells[i - 1] == null && cells[i + 1] == null) found.push(i)
  }
  return found
}

export function options(panel: Panel, frame: Frame, columns: Column[], colors: string[], look: Look, measure: Measure, language: string, size: { width: number; height: number }, log: boolean, on: Handlers): uPlot.Options {
  const stacked = panel.draw === 'stack'
  const series: uPlot.Series[] = [{}]
  const bands: uPlot.Band[] = []
  columns.forEach((column, i) => {
    const color = colors[column.line] ?? look.ink
    if (column.part === 'before') {
      // On the colors of a stack it is dashed, to be seen.
      series.push({ stroke: stacked ? look.ink : look.soft, width: 1, points: { show: false }, ...(stacked ? { dash: [4, 3] } : {}) })
      return
    }
    if (column.part !== 'mean') {
      series.push({ stroke: 'transparent', width: 0, points: { show: false } })
      if (column.part === 'max') {
        const below = panel.draw === 'mirror' && panel.queries[frame.lines[column.line]!.query]?.below
        bands.push({ series: below ? [i, i + 1] : [i + 1, i], fill: clear(color, 0.22) })
      }
      return
    }
    const many = frame.lines.length > 12
    const fill = stacked ? clear(color, color === shadeOf('grey', 'dark') || color === shadeOf('grey', 'light') ? 0.18 : 0.7) : panel.draw === 'mirror' ? clear(color, frame.lines.length > 4 ? 0.06 : 0.16) : frame.lines.length === 1 ? clear(color, 0.08) : undefined
    series.push({
      label: frame.lines[column.line]?.name ?? '',
      stroke: color,
      // Stacked areas have no outlines.
      width: stacked ? 0 : many ? 1 : 1.5,
      ...(fill ? { fill } : {}),
      points: { show: true, size: 4, fill: color, filter: alone },
    })
    if (stacked && i > 0) bands.push({ series: [i + 1, i] })
  })

  return {
    ...size,
    padding: [6, 16, 0, 0],
    legend: { show: false },
    focus: { alpha: 1 },
    scales: {
      x: { time: true, range: () => { const s = on.shown(); return [s.from, s.to] } },
      y: log ? { distr: 3, log: 10, range: (_, low, high) => logRange(low, high) } : { range: (_, low, high) => yRange(panel, low, high) },
    },
    axes: [
      {
        stroke: look.soft, font: look.font, size: 22, gap: 4, space: 72,
        grid: { show: false }, ticks: { show: false }, incrs: every,
        values: (_, at, __, ___, apart) => at.map((v) => tickLabel(v, apart, language)),
      },
      {
        stroke: look.soft, font: look.font, size: 64, gap: 6,
        grid: { stroke: look.grid, width: 1 }, ticks: { show: false },
        ...(log ? { filter: (_, at) => at } : {}),
        splits: (u, _, low, high) => log ? decades(low, high) : splits(low, high, panel.unit, measure, Math.max(2, Math.floor(u.height / (panel.draw === 'mirror' ? 40 : 56)))),
        values: (_, at) => at.map((v) => written(Math.abs(v), panel.unit, measure)),
      },
    ],
    series,
    bands,
    cursor: {
      y: false,
      points: { size: (_, si) => (columns[si - 1]?.part === 'mean' ? 6 : 0), width: 1.5, stroke: look.card, fill: (_, si) => colors[columns[si - 1]?.line ?? 0] ?? look.ink },
      drag: { x: true, y: false, setScale: false, dist: 6 },
      // Charts share the crosshair, not the selection.
      sync: { key: 'page', setSeries: false, filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave' } },
      bind: { dblclick: () => () => { on.back(); return null } },
    },
    hooks: {
      setCursor: [(u) => { on.moved(u, u.cursor.idx ?? null) }],
      setSelect: [(u) => {
        if (u.select.width < 6) return
        const from = u.posToVal(u.select.left, 'x')
        const to = u.posToVal(u.select.left + u.select.width, 'x')
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
        on.selected(from, to)
      }],
      drawClear: [(u) => { paintBehind(u, on.shown(), look) }],
      draw: [(u) => { paintCauses(u, on.shown(), look) }],
    },
  }
}

// paintBehind shades gaps and marks events.
function paintBehind(u: uPlot, shown: Shown, look: Look): void {
  if (shown.gaps.length === 0 && shown.marks.length === 0) return
  const { ctx, bbox } = u
  const ratio = devicePixelRatio || 1
  const x = (at: number) => Math.round(u.valToPos(at, 'x', true))
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  for (const { gap } of shown.gaps) {
    const left = Math.max(x(gap.from), bbox.left)
    const width = Math.min(x(gap.to), bbox.left + bbox.width) - left
    if (width < 1) continue
    ctx.fillStyle = look.gap
    ctx.fillRect(left, bbox.top, width, bbox.height)
    // Stripes: color is never the only sign.
    ctx.fillStyle = stripes(ctx, look.grid, ratio)
    ctx.fillRect(left, bbox.top, width, bbox.height)
  }
  for (const mark of shown.marks) {
    const at = x(mark.at)
    if (at < bbox.left || at > bbox.left + bbox.width) continue
    ctx.strokeStyle = mark.color
    ctx.fillStyle = mark.color
    ctx.lineWidth = ratio
    ctx.setLineDash(mark.solid ? [] : [2 * ratio, 4 * ratio])
    ctx.globalAlpha = mark.solid ? 1 : 0.6
    ctx.beginPath()
    ctx.moveTo(at + 0.5, bbox.top)
    ctx.lineTo(at + 0.5, bbox.top + bbox.height)
    ctx.stroke()
    ctx.setLineDash([])
    ctx.globalAlpha = 1
    ctx.beginPath()
    ctx.moveTo(at - 4 * ratio, bbox.top)
    ctx.lineTo(at + 4 * ratio, bbox.top)
    ctx.lineTo(at, bbox.top + 6 * ratio)
    ctx.fill()
  }
  ctx.restore()
}

// stripes is a pattern of slanted lines, cached by color and screen.
const patterns = new Map<string, CanvasPattern | string>()

function stripes(ctx: CanvasRenderingContext2D, color: string, ratio: number): CanvasPattern | string {
  const key = `${color} ${ratio}`
  const before = patterns.get(key)
  if (before) return before
  const size = Math.round(9 * ratio)
  const tile = new OffscreenCanvas(size, size)
  const t = tile.getContext('2d')
  if (!t) return color
  t.strokeStyle = color
  t.lineWidth = ratio
  t.beginPath()
  // The corners too, so that the tiles join.
  for (const shift of [-size, 0, size]) {
    t.moveTo(shift - 1, size + 1)
    t.lineTo(shift + size + 1, -1)
  }
  t.stroke()
  const made = ctx.createPattern(tile, 'repeat') ?? color
  patterns.set(key, made)
  return made
}

// paintCauses writes the cause into each gap that has room for it.
function paintCauses(u: uPlot, shown: Shown, look: Look): void {
  if (shown.gaps.length === 0) return
  const { ctx, bbox } = u
  const ratio = devicePixelRatio || 1
  ctx.save()
  ctx.font = look.font.replace(/(\d+(\.\d+)?)px/, (_, n: string) => `${Number(n) * ratio}px`)
  ctx.textAlign = 'center'
  ctx.textBaseline = 'middle'
  const middle = bbox.top + bbox.height / 2
  for (const { gap, label } of shown.gaps) {
    const left = Math.max(u.valToPos(gap.from, 'x', true), bbox.left)
    const right = Math.min(u.valToPos(gap.to, 'x', true), bbox.left + bbox.width)
    const half = ctx.measureText(label).width / 2 + 7 * ratio
    if (2 * half + 6 * ratio > right - left) continue
    ctx.fillStyle = look.card
    ctx.beginPath()
    ctx.roundRect((left + right) / 2 - half, middle - 10 * ratio, 2 * half, 20 * ratio, 5 * ratio)
    ctx.fill()
    ctx.fillStyle = look.soft
    ctx.fillText(label, (left + right) / 2, middle)
  }
  ctx.restore()
}
