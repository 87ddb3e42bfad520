import { signal } from '@preact/signals'
import { queryRange } from '../api/prometheus'
import { type Current, Failure } from '../api/client'
import { append, buildFrame, type Frame, Growing } from '../frame'
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
  frame: Frame | null = null
  range: Range = { preset: '1h' }

  private growing: Growing | null = null
  private asking: AbortController | null = null
  private retry: ReturnType<typeof setTimeout> | undefined
  private nextAsk = 0
  private drawn = 0
  private readonly read: ReturnType<typeof readerOf>
  private host = ''
  private own = true

  constructor(readonly panel: Panel) {
    this.read = readerOf(panel)
  }

  // load loads a whole range. points is how many the chart has room for, tick the interval
  // of readings in seconds.
  load(range: Range, host: string, own: boolean, points: number, tick: number): void {
    this.stop()
    const asking = (this.asking = new AbortController())
    const step = Math.max(stepFor(lengthOf(range), points), Math.ceil(tick))
    this.range = range
    this.host = host
    this.own = own
    this.nextAsk = serverNow() + step
    const span = spanOf(range, serverNow())
    const from = Math.floor(span.from / step) * step
    const to = Math.floor(span.to / step) * step
    const band = step > tick
    queryRange(question(this.panel, { host, window: step }, band), from, to, step, asking.signal).then(
      (answer) => {
        if (asking.signal.aborted) return
        this.frame = buildFrame(this.panel, answer.series, from, to, step)
        this.growing = this.read && own ? new Growing(this.panel, this.frame) : null
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
        const failure = e instanceof Failure ? e : new Failure('broken', '')
        this.state.value = failure
        // Temporary failures are retried.
        const wait = failure.kind === 'busy' ? failure.after : failure.kind === 'offline' || failure.kind === 'broken' ? 5 : 0
        if (wait > 0) this.retry = setTimeout(() => { this.load(range, host, own, points, tick) }, wait * 1000 + Math.random() * 500)
      },
    )
  }

  // grow adds a reading, or polls the newest step if a reading lacks the values. The chart is
  // redrawn when it has moved by half a pixel.
  grow(reading: Current, width: number): void {
    if (!this.frame || !isLive(this.range)) return
    const now = serverNow()
    const from = now - lengthOf(this.range)
    if (this.growing && this.read) {
      const samples = this.read(reading)
      this.growing.add(Date.parse(reading.timestamp) / 1000, samples, from)
      if (samples.length > 0) this.state.value = 'ready'
    }
    if (now - this.drawn < lengthOf(this.range) / width / 2) return
    this.drawn = now
    if (this.growing) {
      this.changed()
      return
    }
    if (now >= this.nextAsk) {
      this.nextAsk = now + Math.max(this.frame.step, 1)
      this.askNewest(from) // Draws when the answer is there.
    } else {
      this.changed()
    }
  }

  private askNewest(from: number): void {
    const { frame, asking } = this
    if (!frame || !asking) return
    const { step } = frame
    const to = Math.floor(serverNow() / step) * step
    const start = to - 3 * step // The same for all charts; some answers may have been missed.
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

  // isOwn reports whether the chart shows the agent's own host.
  get isOwn(): boolean { return this.own }

  stop(): void {
    this.asking?.abort()
    clearTimeout(this.retry)
  }
}
