import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { type Failure, ask, get } from '../api/client'
import { queryRange } from '../api/prometheus'
import type { components } from '../api/schema'
import { hostName } from '../host'
import { language, t } from '../i18n'
import { useLoad } from '../load'
import { asFailure, Failed } from '../parts/failed'
import { Field, Form, Numeric } from '../parts/form'
import { NoSeriesList } from '../parts/noseries'
import { measure, now } from '../state'
import { durationLabel, momentLabel, stepFor } from '../time'
import { written } from '../units'
import { metrics, readPairs, writePairs } from './metrics'
import { type Course, Trial } from './trial'

type Threshold = components['schemas']['Threshold']
type Preview = components['schemas']['Preview']

export const fresh = (): Threshold => ({ name: '', metric: 'cpu_usage_total', op: '>', threshold: 80, for: '5m', severity: 'warning', enabled: true })

const week = 7 * 86_400

// most is the number of points of the history.
const most = 336

// A mean is seldom equal to anything.
const isOrdered = (op: string): boolean => op !== '==' && op !== '!='

// Editor edits a threshold and shows how often it would have fired.
export function Editor({ first, isNew, done }: { first: Threshold; isNew: boolean; done: () => void }) {
  const rule = useSignal<Threshold>(first)
  const match = useSignal(writePairs(first.match))
  const course = useSignal<Course | null>(null)
  const preview = useSignal<Preview | null>(null)
  const failure = useSignal<Failure | null>(null)
  const channels = useLoad((signal) => get('/api/v1/alerts/channels', undefined, signal))
  const r = rule.value
  const change = (c: Partial<Threshold>) => { rule.value = { ...rule.value, ...c } }
  const metric = metrics.find((m) => m.name === r.metric)
  const inWords = (value: number) => (metric ? written(value * metric.factor, metric.unit, measure.value) : String(value))
  const less = r.op.startsWith('<')

  // The history depends on the metric only, and begins where measuring began.
  const since = preview.value?.measured_from
  useEffect(() => {
    const asking = new AbortController()
    const timer = setTimeout(() => {
      loadCourse({ ...r, match: readPairs(match.value) }, less, since, asking.signal).then((c) => { course.value = c }, () => { if (!asking.signal.aborted) course.value = null })
    }, 300)
    return () => { clearTimeout(timer); asking.abort() }
  }, [r.metric, r.expr, match.value, less, since])
  useEffect(() => {
    const asking = new AbortController()
    const timer = setTimeout(() => {
      ask<Preview>('/api/v1/alerts/preview', { body: { threshold: { ...sent(r, match.value), name: r.name || 'preview' }, start: '-7d' }, signal: asking.signal }).then(
        (a) => { preview.value = a.body; failure.value = null },
        (e: unknown) => { if (!asking.signal.aborted) { preview.value = null; failure.value = asFailure(e) } },
      )
    }, 400)
    return () => { clearTimeout(timer); asking.abort() }
  }, [r.metric, r.expr, r.op, r.threshold, r.recover, r.for, r.reduce, match.value])

  const save = async () => {
    const body = sent(r, match.value)
    if (isNew) await ask('/api/v1/alerts/rules', { body })
    else await ask(`/api/v1/alerts/rules/${encodeURIComponent(first.name)}`, { method: 'PUT', body })
    done()
  }
  return (
    <>
      <header><h2>{isNew ? t('rules.add') : first.name}</h2></header>
      <Form submit={save} label={t('rules.save')} cancel={done}>
        <Field name={t('rules.name')}><input value={r.name} maxLength={100} required readOnly={!isNew} onInput={(e) => { change({ name: e.currentTarget.value }) }} /></Field>
        <Field name={t('rules.metric')}>
          <select value={r.expr === undefined ? r.metric ?? '' : 'PromQL'} onChange={(e) => {
            const value = e.currentTarget.value
            const { metric: _, expr: __, ...rest } = rule.value
            rule.value = value === 'PromQL' ? { ...rest, expr: '' } : { ...rest, metric: value }
          }}>
            {metrics.map((m) => <option key={m.name} value={m.name}>{m.name}</option>)}
            {r.metric && !metric && <option value={r.metric}>{r.metric}</option>}
            <option value="PromQL">{t('rules.promql')}</option>
          </select>
        </Field>
        {r.expr !== undefined
          ? <Field name={t('rules.expr')} help={t('rules.expr.help')} wide><textarea rows={2} value={r.expr} onInput={(e) => { change({ expr: e.currentTarget.value }) }} required /></Field>
          : <Field name={t('rules.match')} help={t('rules.match.help')}><input value={match.value} placeholder="device=sda" onInput={(e) => { match.value = e.currentTarget.value }} /></Field>}
        <Field name={t('rules.op')}><select value={r.op} onChange={(e) => {
          const op = e.currentTarget.value as Threshold['op']
          const { reduce, ...rest } = rule.value
          rule.value = { ...rest, op, ...(reduce !== undefined && (isOrdered(op) || reduce !== 'mean') ? { reduce } : {}) }
        }}>{(['>', '>=', '<', '<=', '==', '!='] as const).map((op) => <option key={op} value={op}>{op}</option>)}</select></Field>
        <Field name={t('rules.threshold')} help={inWords(r.threshold)}><Numeric value={r.threshold} required set={(threshold) => { if (threshold !== null) change({ threshold }) }} /></Field>
        <Field name={t('rules.reduce')} help={t('rules.reduce.help')}>
          <select value={r.reduce ?? (isOrdered(r.op) ? 'mean' : 'worst')} onChange={(e) => { change({ reduce: e.currentTarget.value }) }}>
            {(['mean', 'worst', 'last'] as const).filter((by) => by !== 'mean' || isOrdered(r.op)).map((by) => <option key={by} value={by}>{t(`rules.reduce.${by}`)}</option>)}
          </select>
        </Field>
        <Field name={t('rules.recover')} help={t('rules.recover.help')}><Numeric value={r.recover ?? null} set={(recover) => {
          const { recover: _, ...rest } = rule.value
          rule.value = recover === null ? rest : { ...rest, recover }
        }} /></Field>
        <Field name={t('rules.duration')} help={t('rules.duration.help')}><input value={r.for ?? ''} placeholder="5m" onInput={(e) => { change({ for: e.currentTarget.value }) }} /></Field>
        <Field name={t('rules.remind')} help={t('rules.remind.help')}><input value={r.remind ?? ''} placeholder="4h" onInput={(e) => { change({ remind: e.currentTarget.value }) }} /></Field>
        <Field name={t('rules.severity')}><select value={r.severity ?? 'warning'} onChange={(e) => { change({ severity: e.currentTarget.value }) }}>{[...new Set(['info', 'warning', 'critical', r.severity ?? 'warning'])].map((s) => <option key={s} value={s}>{s}</option>)}</select></Field>
        {(channels.body?.channels.length ?? 0) > 0 && (
          <fieldset class="field wide">
            <legend>{t('rules.channels')}</legend>
            <div class="checks">{channels.body!.channels.map((c) => (
              <label key={c.name}><input type="checkbox" checked={(r.channels ?? []).includes(c.name)} onChange={(e) => {
                const others = (rule.value.channels ?? []).filter((n) => n !== c.name)
                change({ channels: e.currentTarget.checked ? [...others, c.name] : others })
              }} />{c.name}</label>
            ))}</div>
            <small>{t('rules.channels.help')}</small>
          </fieldset>
        )}
        <div class="wide">
          <p class="verdict" role="status">{preview.value ? <Verdict preview={preview.value} /> : failure.value ? <Failed failure={failure.value} /> : <span class="note">{t('state.loading')}</span>}</p>
          {course.value && course.value.series.length > 0 && (
            <Trial course={course.value} threshold={r.threshold} recover={r.recover ?? null} written={inWords} drag={(threshold) => { change({ threshold }) }}
              firings={(preview.value?.firings ?? []).map((f) => ({ from: Date.parse(f.from) / 1000, to: f.to ? Date.parse(f.to) / 1000 : now.peek() }))} />
          )}
        </div>
      </Form>
    </>
  )
}

// Empty fields are not sent.
function sent(r: Threshold, match: string): Threshold {
  const pairs = readPairs(match)
  const { match: _, for: duration, remind, channels, ...rest } = r
  return {
    ...rest,
    ...(r.expr === undefined && Object.keys(pairs).length > 0 ? { match: pairs } : {}),
    ...(duration?.trim() ? { for: duration.trim() } : {}),
    ...(remind?.trim() ? { remind: remind.trim() } : {}),
    ...(channels && channels.length > 0 ? { channels } : {}),
  }
}

function Verdict({ preview: p }: { preview: Preview }) {
  const [newest] = p.firings
  if (p.no_series) return <><strong>{t('rules.would.noseries')}</strong><span class="note"><NoSeriesList all={p.no_series} /></span></>
  if (!p.measured_from) return <strong>{t('rules.would.unknown')}</strong>
  // History may be shorter than a week.
  const span = durationLabel(Math.max(1, (Date.parse(p.end) - Date.parse(p.measured_from)) / 1000), language)
  return (
    <>
      <strong>{p.count === 0 ? t('rules.would.never', { span }) : t(p.count === 1 ? 'rules.would.once' : 'rules.would', { n: p.count, span, time: durationLabel(Math.max(1, p.seconds), language) })}</strong>
      <span class="note">{t('rules.would.how', { step: durationLabel(p.step, language), tiers: [...new Set(p.tiers.map((tier) => tier.tier))].join(', ') || '–' })}</span>
      {Date.parse(p.measured_from) > Date.parse(p.start) + 1000 * p.step && <span class="note">{t('rules.would.since', { time: momentLabel(Date.parse(p.measured_from) / 1000, language, now.peek(), false) })}</span>}
      {newest && <span class="note">{t('rules.would.last', { time: momentLabel(Date.parse(newest.from) / 1000, language, now.peek(), false) })}</span>}
    </>
  )
}

// loadCourse loads a week of the metric, or less if measuring began since: the maximum of
// each step, or the minimum for a lower bound.
async function loadCourse(r: Threshold, less: boolean, since: string | undefined, signal: AbortSignal): Promise<Course> {
  const began = Math.max(now.peek() - week, since === undefined ? 0 : Date.parse(since) / 1000)
  const step = stepFor(Math.max(60, now.peek() - began), most)
  const to = Math.floor(now.peek() / step) * step + step
  const from = Math.floor(began / step) * step
  const metric = metrics.find((m) => m.name === r.metric)
  if (r.expr === undefined && metric) {
    const agg = less ? 'min' : 'max'
    const filters = new URLSearchParams({ metric: metric.name, agg, start: String(from), step: `${step}s`, host: hostName.peek() })
    for (const [name, value] of Object.entries(r.match ?? {})) {
      const as = name === 'cpu' ? 'core' : name === 'device' && metric.part === 'network' ? 'interface' : name
      if (['core', 'device', 'mountpoint', 'interface'].includes(as) && !/^[~!]/.test(value)) filters.append(as, value)
    }
    const { body } = await ask<components['schemas']['Series']>(`/api/v1/metrics/${metric.part}?${filters.toString()}`, { signal })
    return { from, to, series: body.series.map((s) => ({ t: s.t, v: s[agg] ?? [] })) }
  }
  const expr = r.expr ?? selector(r)
  if (!expr.trim()) return { from, to, series: [] }
  const { series } = await queryRange(expr, from, to, step, signal)
  return { from, to, series: series.map((s) => ({ t: s.values.map(([at]) => at), v: s.values.map(([, v]) => (Number.isFinite(Number(v)) ? Number(v) : null)) })) }
}

// selector writes a threshold's metric and labels as PromQL.
function selector(r: Threshold): string {
  const matchers = Object.entries(r.match ?? {}).map(([name, text]) => {
    const not = text.startsWith('!')
    const rest = not ? text.slice(1) : text
    const pattern = rest.startsWith('~')
    return `${name}${not ? '!' : '='}${pattern ? '~' : not ? '=' : ''}${JSON.stringify(pattern ? rest.slice(1) : rest)}`
  })
  return `${r.metric ?? ''}{${matchers.join(',')}}`
}
