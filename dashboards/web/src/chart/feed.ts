import { signal } from '@preact/signals'
import { queryRange } from '../api/prometheus'
import { type Current, Failure } from '../api/client'
import { onGrid, placeOf, under } from '../compare'
import { append, buildFrame, type Cell, firstOpen, type Frame, Growing, type Line } from '../frame'
import { readerOf } from '../live'
import { type Panel, question } from '../panels'
import { type Range, spanOf, isLive, lengthOf, stepFor } from '../time'
import { serverNow } from '../stream'
import { askNoSeries, type NoSeries } from '../parts/noseries'
import { askTogether } from './together'

// A Feed loads a chart's frame: the past by one query, then each live reading.

export type State = 'loading' | 'ready' | 'empty' | Failure

export class Feed {
  readonly state = signal<State>('loading')
  // version increases with each change of the frame, which is changed in place.
  readonly version = signal(0)
  readonly tier = signal('')
  // warnings and infos are what the answer cannot tell.
  readonly warnings = signal<string[]>([])
  readonly infos = signal<string[]>([])
  // noSeries are the selectors for whose want the chart is empty.
  readonly noSeries = signal<NoSeries[]>([])
  // chosen are the keys of the lines that are drawn; null draws all.
  readonly chosen = signal<Set<string> | null>(null)
  // compared is whether there is something to compare with; null if nothing is compared.
  readonly compared = signal<State | null>(null)
  frame: Frame | null = null
  // earlier is what the chart is compared with, shift how much earlier that is.
  earlier: Frame | null = null
  earlierTier = ''
  shift = 0
  range: Range = { preset: '1h' }

  private growing: Growing | null = null
  private asking: AbortController | null = null
  private retry: ReturnType<typeof setTimeout> | undefined
  private earlierEnd = Infinity
  private nextAsk = 0
  private tick = 1
  private painted = 0
  private readonly read: ReturnType<typeof readerOf>
  private host = ''
  private own = true

  constructor(readonly panel: Panel) {
    this.read = readerOf(panel)
  }

  // load loads a whole range. points is how many the chart has room for, tick the interval
  // of readings in seconds, shift how much earlier it is compared with, 0 for nothing.
  load(range: Range, host: string, own: boolean, points: number, tick: number, shift: number): void {
    this.stop()
    const asking = (this.asking = new AbortController())
    const step = Math.max(stepFor(lengthOf(range), points), Math.ceil(tick))
    this.range = range
    this.host = host
    this.own = own
    this.tick = tick
    this.nextAsk = serverNow() + step
    const span = spanOf(range, serverNow())
    const from = Math.floor(span.from / step) * step
    const to = Math.floor(span.to / step) * step
    const band = step > tick
    this.shift = onGrid(shift, step)
    this.earlier = null
    this.earlierEnd = Infinity
    this.compared.value = shift === 0 ? null : 'loading'
    this.askEarlier(from, to, step, asking)
    queryRange(question(this.panel, { host, window: step }, band), from, to, step, asking.signal).then(
      (answer) => {
        if (asking.signal.aborted) return
        this.frame = buildFrame(this.panel, answer.series, from, to, step)
        this.growing = this.read && own ? new Growing(this.panel, this.frame) : null
        if (this.growing) this.nextAsk = Infinity
        this.tier.value = answer.tier
        this.warnings.value = answer.warnings
        this.infos.value = answer.infos
        this.state.value = answer.series.length > 0 ? 'ready' : 'empty'
        this.noSeries.value = []
        if (answer.series.length === 0 && own) {
          void askNoSeries(question(this.panel, { host, window: step }, false), span.from, span.to, asking.signal)
            .then((all) => { if (!asking.signal.aborted) this.noSeries.value = all })
        }
        this.changed()
      },
      (e: unknown) => {
        if (asking.signal.aborted) return
        const failure = failureOf(e)
        this.state.value = failure
        const wait = waitOf(failure)
        if (wait > 0) this.retry = setTimeout(() => { this.load(range, host, own, points, tick, shift) }, wait)
      },
    )
  }

  // askEarlier loads what the columns between two times are compared with. A live chart
  // moves on over what is known already.
  private askEarlier(from: number, to: number, step: number, asking: AbortController): void {
    const { shift } = this
    if (shift === 0) return
    const end = isLive(this.range) ? to + Math.min(shift, 30 * step) : to
    this.earlierEnd = end
    queryRange(question(this.panel, { host: this.host, window: step }, false), from - shift, end - shift, step, asking.signal).then(
      (answer) => {
        if (asking.signal.aborted) return
        this.earlier = buildFrame(this.panel, answer.series, from - shift, end - shift, step)
        this.earlierTier = answer.tier
        this.compared.value = answer.series.length > 0 ? 'ready' : 'empty'
        this.changed()
      },
      (e: unknown) => {
        if (asking.signal.aborted) return
        const failure = failureOf(e)
        if (!this.earlier) this.compared.value = failure
        const wait = waitOf(failure)
        if (wait > 0) setTimeout(() => { if (!asking.signal.aborted) this.askEarlier(from, to, step, asking) }, wait)
      },
    )
  }

  // before is the earlier value of a line under a time, null if there is none.
  before(key: string, at: number): Cell {
    const i = this.earlier ? placeOf(this.earlier, at, this.shift) : -1
    return this.earlier?.lines.find((l) => l.key === key)?.mean[i] ?? null
  }

  // beneath are the earlier values of the lines that are drawn; of a stack, those of lines
  // that have ended too.
  get beneath(): Map<string, Cell[]> | undefined {
    const { earlier, frame } = this
    if (!earlier || !frame || earlier.lines.length === 0) return undefined
    const all = under(frame.times, earlier, this.shift)
    const chosen = this.chosen.value
    return chosen ? new Map([...all].filter(([key]) => chosen.has(key))) : all
  }

  // grow adds a reading, or polls the newest step if a reading lacks the values. The chart is
  // redrawn when it has moved by half a pixel.
  grow(reading: Current, width: number): void {
    if (!this.frame || !isLive(this.range)) return
    const now = serverNow()
    const from = now - lengthOf(this.range)
    if (this.growing && this.read) {
      const samples = this.read(reading)
      const at = Date.parse(reading.timestamp) / 1000
      const happened = this.growing.add(at, samples, from)
      if (samples.length > 0) this.state.value = 'ready'
      if (happened === 'begun') this.askBefore(at)
      // What closes is asked once, since readings may have passed the page by.
      if (happened === 'over' && this.frame.step > this.tick) this.nextAsk = now + 2
    }
    if (now > this.earlierEnd && this.asking) this.askEarlier(Math.floor(from / this.frame.step) * this.frame.step, Math.floor(now / this.frame.step) * this.frame.step, this.frame.step, this.asking)
    if (now - this.painted < lengthOf(this.range) / width / 2) return
    this.painted = now
    if (now >= this.nextAsk && !(this.growing && this.frame.step <= this.tick)) {
      this.nextAsk = this.growing ? Infinity : now + Math.max(this.frame.step, 1)
      this.askNewest(from) // Draws when the answer is there.
    } else {
      this.changed()
    }
  }

  // askBefore asks for the readings of the open step that came before the page's first.
  private askBefore(first: number): void {
    const { growing, frame, asking, tick } = this
    if (!growing || !frame || !asking || frame.step <= tick) return
    const at = first - tick
    const window = Math.round(at - growing.stepStart)
    if (window < tick) return
    const band = frame.lines.some((line) => line.min !== null)
    queryRange(question(this.panel, { host: this.host, window }, band), at, at, 1, asking.signal).then(
      (answer) => {
        if (asking.signal.aborted || this.growing !== growing) return
        growing.join(buildFrame(this.panel, answer.series, at, at, 1), Math.round(window / tick))
        this.changed()
      },
      () => { /* It is asked when the step is over. */ },
    )
  }

  private askNewest(from: number): void {
    const { frame, asking } = this
    if (!frame || !asking) return
    const { step } = frame
    const to = Math.floor(serverNow() / step) * step
    // The same for most charts, so that they ask together.
    const start = this.growing ? to - step : firstOpen(frame, to)
    const band = frame.lines.some((line) => line.min !== null)
    askTogether(this.panel, { host: this.host, window: step }, { from: start, to, step, band }).then(
      (series) => {
        if (asking.signal.aborted || this.frame !== frame) return
        append(this.panel, frame, buildFrame(this.panel, series, start, to, step), from)
        if (frame.lines.length > 0) this.state.value = 'ready'
        this.changed()
      },
      () => { /* The next one may succeed; the banner says if readings stopped. */ },
    )
  }

  // changed notifies the chart without subscribing.
  private changed(): void { this.version.value = this.version.peek() + 1 }

  // isolate draws one line alone, or all again.
  isolate(key: string): void {
    const before = this.chosen.value
    this.chosen.value = before?.size === 1 && before.has(key) ? null : new Set([key])
  }

  // hide draws all lines that are drawn but one, or that one again.
  hide(key: string): void {
    const keys = new Set(this.chosen.value ?? this.frame?.lines.map((l) => l.key))
    if (!keys.delete(key)) keys.add(key)
    this.chosen.value = keys.size === 0 || keys.size === this.frame?.lines.length ? null : keys
  }

  // drawn are the lines that are drawn. One that was chosen may have ended.
  get drawn(): Line[] {
    const lines = this.frame?.lines ?? []
    const chosen = this.chosen.value
    const some = chosen ? lines.filter((l) => chosen.has(l.key)) : lines
    return some.length > 0 ? some : lines
  }

  // isOwn reports whether the chart shows the agent's own host.
  get isOwn(): boolean { return this.own }

  stop(): void {
    this.asking?.abort()
    clearTimeout(this.retry)
  }
}

const failureOf = (e: unknown): Failure => (e instanceof Failure ? e : new Failure('broken', ''))

// waitOf is how long to wait before a question that failed is asked again, in
// milliseconds; 0 for never.
function waitOf(failure: Failure): number {
  const wait = failure.kind === 'busy' ? failure.after : failure.kind === 'offline' || failure.kind === 'broken' ? 5 : 0
  return wait === 0 ? 0 : wait * 1000 + Math.random() * 500
}
