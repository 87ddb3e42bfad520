import { effect, untracked, useComputed, useSignal } from '@preact/signals'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { lineColors } from '../colors'
import { events } from '../events'
import { columns, findGaps } from '../frame'
import { alertMarks, causeOf, isMarked } from '../event'
import { language, t, titleOf, type Word } from '../i18n'
import { type Panel, rankOf } from '../panels'
import { go, isDark, measure, now, view, zoom, zoomBack } from '../state'
import { isOwnHost, hostName } from '../host'
import { reading, resumed, seen } from '../stream'
import { isLive, momentLabel, spanOf, stepLabel, tierSeconds } from '../time'
import { written } from '../units'
import { Failed } from '../parts/failed'
import { NoSeriesList } from '../parts/noseries'
import { Explain } from './explain'
import { Feed } from './feed'
import { Legend } from './legend'
import { lookOf } from './look'
import { Menu } from './menu'
import { canBeLog, listed, type Mark, options, type Shown } from './options'

// Chart shows one panel over the page's time range. It owns the uPlot instance.

export interface ChartProps {
  panel: Panel
  height?: number
  // open handles a click on a time; by default it shows the processes at that time.
  open?: (at: number) => void
}

// useSignalEffectAtOnce is useSignalEffect without the delay until the next frame, so that
// a reading is painted in one frame, not in three.
function useSignalEffectAtOnce(run: () => void): void {
  const newest = useRef(run)
  newest.current = run
  useEffect(() => effect(() => { newest.current() }), [])
}

// openProcesses shows the processes of a time, ranked by what the chart is about.
const openProcesses = (panel: Panel) => (at: number): void => {
  const sort = rankOf(panel)
  go({ page: 'processes', at: Math.round(at), own: sort === 'cpu' ? {} : { sort } })
}

export function Chart({ panel, height = 200, open: opens }: ChartProps) {
  const open = opens ?? openProcesses(panel)
  const feed = useMemo(() => new Feed(panel), [panel])
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const built = useRef('')
  const width = useSignal(0)
  const near = useSignal(false)
  const cursor = useSignal<number | null>(null)
  const tapped = useSignal<number | null>(null)
  const tall = useSignal(height)
  useEffect(() => { tall.value = height }, [height])
  const shown = useRef<Shown>({ gaps: [], marks: [], from: 0, to: 1 })

  useEffect(() => {
    const element = host.current!
    const sizes = new ResizeObserver(([entry]) => { width.value = Math.floor(entry?.contentRect.width ?? 0) })
    const views = new IntersectionObserver(([entry]) => { near.value = entry?.isIntersecting ?? false }, { rootMargin: '150px' })
    sizes.observe(element)
    views.observe(element)
    return () => {
      sizes.disconnect()
      views.disconnect()
      feed.stop()
      plot.current?.destroy()
      plot.current = null
      built.current = ''
    }
  }, [feed])

  // One point per two pixels is fine enough; powers of two keep a resize from loading each
  // time.
  const points = useComputed(() => (width.value === 0 ? 0 : Math.min(800, Math.max(150, 2 ** Math.round(Math.log2(width.value / 1.6))))))
  const asked = useRef('')

  useSignalEffectAtOnce(() => {
    const { range, compare } = view.value
    const key = JSON.stringify([range, compare, hostName.value, points.value, resumed.value, seen.value])
    if (!near.value || !seen.value || points.value === 0 || hostName.value === '' || asked.current === key) return
    asked.current = key
    feed.load(range, hostName.value, isOwnHost.value, points.value, reading.peek()?.interval_seconds ?? 1, compare)
  })

  useSignalEffectAtOnce(() => {
    const r = reading.value
    if (r && near.value && isLive(view.value.range)) untracked(() => { feed.grow(r, width.value) })
  })

  useSignalEffectAtOnce(() => {
    // What the drawing depends on.
    void feed.version.value
    void events.value
    const element = host.current
    const { frame } = feed
    const shade = isDark.value ? 'dark' : 'light'
    const units = measure.value
    const size = { width: width.value, height: tall.value }
    const isLog = canBeLog(panel) && listed(view.value.own.log).includes(panel.id)
    if (!element || !frame || size.width === 0 || !near.value) return
    // The old range stays until the next one is loaded.
    const span = spanOf(feed.range, now.peek())
    const gaps = findGaps(frame).map((gap) => ({ gap, cause: causeOf(gap, events.value, frame.step) })).filter((g) => !panel.sparse || g.cause !== 'cause.unknown')
    const look = lookOf(element, shade)
    const { at: chosen } = view.value
    const marks = events.value.filter((h) => isMarked(h) && h.kind !== 'alert').map((h): Mark => ({ at: h.at, label: t(`event.${h.kind}` as Word, { subject: h.subject }), color: h.kind === 'oom_kill' ? look.critical : look.soft }))
    // Marks that would touch are one.
    for (const a of alertMarks(events.value, Math.max(60, (span.to - span.from) / 80))) marks.push({ at: a.at, label: t(a.level === 'ok' ? 'event.alert.ended' : 'event.alert', { subject: a.names.join(', ') }), color: a.level === 'ok' ? look.soft : look[a.level] })
    shown.current = {
      gaps: gaps.map(({ gap, cause }) => ({ gap, label: t(cause) })),
      marks: chosen === null ? marks : [...marks, { at: chosen, label: t('chart.chosen'), color: look.ink, solid: true }],
      ...span,
    }
    // Attributes say what the chart shows, for tests and assistive tools.
    Object.assign(element.parentElement!.dataset, { from: span.from, to: span.to, step: frame.step, first: frame.times.find((_, i) => frame.lines.some((l) => l.mean[i] !== null)) ?? '', newest: frame.times.at(-1) ?? '', shift: feed.shift, axis: isLog ? 'log' : 'linear' })
    const { drawn } = feed
    const part = drawn.length === frame.lines.length ? frame : { ...frame, lines: drawn }
    const cols = columns(panel, part, panel.draw, feed.beneath)
    const data = [frame.times, ...cols.map((c) => c.cells)] as uPlot.AlignedData
    const identity = JSON.stringify([drawn.map((l) => l.key), cols.map((c) => c.part), shade, units, size.height, isLog])
    if (plot.current && built.current === identity) {
      if (plot.current.width !== size.width) plot.current.setSize(size)
      plot.current.setData(data)
      return
    }
    const pointed = momentOf(plot.current)
    plot.current?.destroy()
    built.current = identity
    const made = plot.current = new uPlot(
      options(panel, part, cols, lineColors(panel, frame.lines, shade).filter((_, i) => drawn.includes(frame.lines[i]!)), look, units, language, size, isLog, {
        shown: () => shown.current,
        moved: (_, idx) => { cursor.value = idx },
        selected: zoom,
        back: zoomBack,
      }),
      data,
      element,
    )
    listen(made, open, tapped)
    // The crosshair stays at its time once the new scales are known.
    if (pointed !== null) queueMicrotask(() => { if (plot.current === made) point(made, made.valToPos(pointed, 'x'), made.over.clientHeight / 2) })
  })

  const title = titleOf('panel', panel.id, panel.title)
  return (
    <section class="panel" id={`panel-${panel.id}`} aria-label={title}>
      <header>
        <h3>{title}</h3>
        <Resolution feed={feed} />
        <Menu panel={panel} feed={feed} canvas={() => plot.current?.ctx.canvas ?? null} />
        <Explain panel={panel} window={() => feed.frame?.step ?? 1} notes={feed.infos} />
      </header>
      {feed.warnings.value.map((text) => <p key={text} class="note" role="note">{text}</p>)}
      <Legend feed={feed} cursor={cursor} shown={shown} />
      <div
        class="plot" style={{ height: `${height}px` }} tabIndex={0}
        role="application" aria-roledescription="chart" aria-label={`${title}. ${t('chart.keys')}`}
        onKeyDown={(e) => { onKey(e, plot.current, open) }}
      >
        <div ref={host} />
        <Over feed={feed} />
      </div>
      <Tapped at={tapped} open={open} />
    </section>
  )
}

// listen waits after a click for a second one, which zooms out. A touch moves the
// crosshair and shows a button.
function listen(u: uPlot, open: (at: number) => void, tapped: { value: number | null }): void {
  let down: { x: number; y: number } | null = null
  let waiting: ReturnType<typeof setTimeout> | undefined
  u.over.addEventListener('pointerdown', (e) => { down = { x: e.clientX, y: e.clientY } })
  u.over.addEventListener('pointerup', (e) => {
    if (!down || e.button !== 0 || Math.hypot(e.clientX - down.x, e.clientY - down.y) > 5) return
    const at = u.posToVal(e.clientX - u.over.getBoundingClientRect().left, 'x')
    if (e.pointerType !== 'mouse') {
      tapped.value = at
      return
    }
    clearTimeout(waiting)
    waiting = setTimeout(() => { open(at) }, 260)
  })
  u.over.addEventListener('dblclick', () => { clearTimeout(waiting) })
}

// point moves the crosshair of all charts; uPlot's types lack the third argument, which
// publishes it.
function point(u: uPlot, left: number, top: number): void {
  const setCursor = u.setCursor as (at: { left: number; top: number }, fire: boolean, publish: boolean) => void
  setCursor({ left, top }, true, true)
}

// momentOf returns the time at the crosshair, null if there is none.
const momentOf = (u: uPlot | null): number | null => (u?.cursor.idx == null ? null : (u.data[0][u.cursor.idx] ?? null))

function onKey(e: KeyboardEvent, u: uPlot | null, open: (at: number) => void): void {
  if (!u || e.altKey || e.ctrlKey || e.metaKey) return
  const times = u.data[0]
  const idx = u.cursor.idx ?? null
  const moveTo = (i: number) => {
    const at = times[Math.max(0, Math.min(times.length - 1, i))]
    if (at !== undefined) point(u, u.valToPos(at, 'x'), u.over.clientHeight / 2)
  }
  const by = e.shiftKey ? 10 : 1
  switch (e.key) {
    case 'ArrowLeft': moveTo((idx ?? times.length) - by); break
    case 'ArrowRight': moveTo((idx ?? -1) + by); break
    case 'Home': moveTo(0); break
    case 'End': moveTo(times.length - 1); break
    case 'Escape': point(u, -10, -10); break
    case 'Enter': {
      const at = idx === null ? times.at(-1) : times[idx]
      if (at !== undefined) open(at)
      break
    }
    case '+': case '=': {
      const { min = 0, max = 0 } = u.scales.x ?? {}
      const middle = idx === null ? (min + max) / 2 : (times[idx] ?? (min + max) / 2)
      zoom(middle - (max - min) / 4, middle + (max - min) / 4)
      break
    }
    case '-': case '−': zoomBack(); break
    default: return
  }
  e.preventDefault()
}

function Resolution({ feed }: { feed: Feed }) {
  void feed.version.value
  const asked = feed.frame?.step
  // What answered may be coarser than what was asked.
  const step = asked && Math.max(asked, tierSeconds(feed.tier.value))
  if (!step) return <span class="resolution" /> // It keeps what comes after it at its end.
  const band = feed.frame?.lines.some((l) => l.min !== null)
  if (step <= (reading.value?.interval_seconds ?? 1)) return <span class="resolution">{t('chart.readings')}</span>
  return <span class="resolution">{t('chart.means', { step: stepLabel(step, language) })}{band && <small>{t('chart.means.band')}</small>}</span>
}

// Over replaces the lines while loading, without data, or on a failure.
function Over({ feed }: { feed: Feed }) {
  const state = feed.state.value
  if (state === 'ready') return null
  if (state === 'loading') return <p class="over quiet">{t('state.loading')}</p>
  if (state === 'empty') return <p class="over">{t('state.empty')}<NoSeriesList all={feed.noSeries.value} /></p>
  return <div class="over"><Failed failure={state} /></div>
}

function Tapped({ at, open }: { at: { value: number | null }; open: (at: number) => void }) {
  const moment = at.value
  if (moment === null) return null
  return <button class="tapped" onClick={() => { open(moment) }}>{t('chart.processes', { time: momentLabel(moment, language, now.peek()) })} →</button>
}

export const valueText = (value: number | null | undefined, panel: Panel): string => written(value, panel.unit, measure.value)
