import '../parts/form.css'
import { get } from '../api/client'
import type { components } from '../api/schema'
import { isAdmin } from '../account/me'
import { language, t } from '../i18n'
import { useLoad } from '../load'
import { Failed } from '../parts/failed'
import { Sign } from '../parts/icons'
import { go, now } from '../state'
import { durationLabel, momentLabel } from '../time'

type Alert = components['schemas']['Alert']

// State lists the current alerts.
export function State() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/alerts', undefined, signal), 5)
  if (failure && !body) return <section class="panel"><Failed failure={failure} again={again} /></section>
  if (!body) return <section class="panel"><p class="over quiet">{t('state.loading')}</p></section>
  return (
    <section class="panel" aria-label={t('alerts.tab.state')}>
      {body.alerts.length === 0 ? <p class="over"><Sign level="ok" size={22} /> {t('alerts.none')}</p> : <ul class="list">{body.alerts.map((a) => <Item key={a.fingerprint} alert={a} />)}</ul>}
    </section>
  )
}

function Item({ alert: a }: { alert: Alert }) {
  const since = Date.parse(a.since) / 1000
  const ended = a.ended_at ? Date.parse(a.ended_at) / 1000 : null
  const look = () => {
    const from = Math.floor(since) - 600
    go({ page: 'overview', range: { from, to: Math.ceil(Math.min((ended ?? now.peek()) + 300, now.peek())) } })
  }
  const silence = () => { go({ own: { tab: 'silences', rule: a.rule, host: a.host } }) }
  return (
    <li>
      <Sign level={a.state === 'resolved' ? 'ok' : a.severity === 'critical' && a.state === 'firing' ? 'critical' : 'warning'} />
      <b>{a.rule}</b>
      <span class={`chip ${a.state} ${a.severity}`}>{t(`alerts.state.${a.state}`)}</span>
      {a.severity && <span class="chip">{a.severity}</span>}
      {a.flapping && <span class="chip">{t('alerts.flapping', { n: a.changes })}</span>}
      {a.silences.length > 0 && <span class="chip">{t('alerts.silenced')}</span>}
      <span class="end">
        <time>{t('alerts.since', { time: momentLabel(since, language, now.peek()) })} · {durationLabel(Math.max(0, (ended ?? now.value) - since), language)}</time>
        <button class="link" onClick={look}>{t('alerts.look')}</button>
        {isAdmin.value && a.silences.length === 0 && a.state !== 'resolved' && <button class="link" onClick={silence}>{t('alerts.silence')}</button>}
      </span>
      <span class="line">{a.summary}{a.value !== null && ` · ${t('alerts.value', { value: trim(a.value), unit: a.unit, threshold: a.threshold }).replace(' ,', ',')}`}</span>
      {a.no_data_since && <span class="line">{t('alerts.no_data', { time: momentLabel(Date.parse(a.no_data_since) / 1000, language, now.peek()) })}</span>}
    </li>
  )
}

// trim formats a number with three significant digits.
export const trim = (value: number): string => String(Number(value.toPrecision(Math.abs(value) >= 1000 ? 6 : 3)))
