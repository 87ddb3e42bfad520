import { useSignal, useSignalEffect } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { Failure } from '../api/client'
import { type Instant, query } from '../api/prometheus'
import { Explain } from '../chart/explain'
import { facts } from '../facts'
import { hostName, isOwnHost } from '../host'
import { language, t, titleOf } from '../i18n'
import { limits } from '../thresholds'
import { levelOf, usual } from '../limits'
import { asked, type Panel, question, readTag, seriesName } from '../panels'
import { live, measure, now, view } from '../state'
import { seen } from '../stream'
import { durationLabel, isLive } from '../time'
import { quantity, written } from '../units'
import { full } from '../watch'
import { asFailure, Failed } from './failed'
import { Sign } from './icons'
import { askNoSeries, type NoSeries, NoSeriesList } from './noseries'

// Newest shows a panel of newest values: bars, numbers or rows. For a past time range
// it shows the values at its end.

// Slowly changing values are polled slowly.
const every = 10
// A newest value is at most a minute old.
const window = 60
const year = 366 * 86_400

interface Value {
  key: string
  name: string
  value: number
}

function valuesOf(panel: Panel, found: Instant[]): Value[] {
  const collator = new Intl.Collator('en', { numeric: true })
  return found.flatMap((f) => {
    const tag = readTag(f.metric[asked])
    const q = tag && panel.queries[tag.query]
    const value = Number(f.value[1])
    if (!q || !Number.isFinite(value)) return []
    const { [asked]: _, __name__: __, host_name: ___, ...labels } = f.metric
    return [{ key: JSON.stringify(f.metric), name: seriesName(q, labels), value }]
  }).sort((a, b) => collator.compare(a.name, b.name))
}

export function Newest({ panel }: { panel: Panel }) {
  const values = useSignal<Value[] | null>(null)
  const failure = useSignal<Failure | null>(null)
  const missing = useSignal<NoSeries[]>([])
  const near = useSignal(false)
  const beat = useSignal(0)
  const root = useRef<HTMLElement>(null)
  useEffect(() => {
    const views = new IntersectionObserver(([entry]) => { near.value = entry?.isIntersecting ?? false }, { rootMargin: '150px' })
    views.observe(root.current!)
    const timer = setInterval(() => { if (live.value) beat.value++ }, every * 1000)
    return () => {
      views.disconnect()
      clearInterval(timer)
    }
  }, [])
  useSignalEffect(() => {
    const { range } = view.value
    const host = hostName.value
    void beat.value
    if (!near.value || !seen.value || host === '') return
    const asking = new AbortController()
    query(question(panel, { host, window }, false), isLive(range) ? now.peek() : range.to, asking.signal).then(
      (found) => {
        values.value = valuesOf(panel, found)
        failure.value = null
        if (found.length === 0 && isOwnHost.peek() && missing.peek().length === 0) {
          const to = isLive(range) ? now.peek() : range.to
          void askNoSeries(question(panel, { host, window }, false), to - 300, to, asking.signal).then((all) => { missing.value = all })
        }
      },
      (e: unknown) => { if (!asking.signal.aborted) failure.value = asFailure(e) },
    )
    return () => { asking.abort() }
  })
  const list = values.value
  return (
    <section class="panel newest" id={`panel-${panel.id}`} ref={root} aria-label={titleOf('panel', panel.id, panel.title)}>
      <header>
        <h3>{titleOf('panel', panel.id, panel.title)}</h3>
        <span class="resolution" />
        <Explain panel={panel} window={() => window} />
      </header>
      {failure.value ? <Failed failure={failure.value} /> : list === null ? <p class="over quiet">{t('state.loading')}</p> : list.length === 0 ? <p class="over">{t('state.empty')}<NoSeriesList all={missing.value} /></p> : <Values panel={panel} list={list} />}
    </section>
  )
}

function Values({ panel, list }: { panel: Panel; list: Value[] }) {
  if (panel.draw === 'stat') {
    return <div class="stats">{list.map((v) => {
      const q = quantity(v.value, panel.unit, measure.value)
      return <p key={v.key}><b>{q.number}<small>{q.unit}</small></b><span>{v.name}</span></p>
    })}</div>
  }
  // Disk rules are about space.
  const limit = panel.id === 'disk_space' ? limits.value.disk : usual.disk
  const top = panel.max ?? Math.max(...list.map((v) => v.value), 1e-9)
  return (
    <ul class="bars">
      {(panel.unit === 'ratio' ? [...list].sort((a, b) => b.value - a.value) : list).map((v) => {
        const level = panel.unit === 'ratio' ? levelOf(v.value, limit) : 'ok'
        return (
          <li key={v.key} class={level}>
            <span class="name" title={v.name}>{v.name}</span>
            <span class="bar"><i style={{ width: `${Math.min(1, v.value / top) * 100}%` }} />{panel.unit === 'ratio' && <u style={{ left: `${limit.warning * 100}%` }} />}</span>
            {panel.id === 'disk_space' && <Left mount={v.name} />}
            <b>{level !== 'ok' && <Sign level={level} size={12} />}{written(v.value, panel.unit, measure.value)}</b>
          </li>
        )
      })}
    </ul>
  )
}

// Left shows a file system's free space and when it will be full.
function Left({ mount }: { mount: string }) {
  const found = live.value && facts.value?.filesystems.find((f) => f.mount === mount)
  if (!found) return null
  const seconds = full.value.get(mount)
  return <small>{t('disk.free', { value: written(found.free, 'bytes', measure.value), total: written(found.total, 'bytes', measure.value) })}{seconds !== undefined && seconds < year && ` · ${t('disk.full', { time: durationLabel(seconds, language) })}`}</small>
}
