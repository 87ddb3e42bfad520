import { useSignal } from '@preact/signals'
import { get } from '../api/client'
import { language, t } from '../i18n'
import { useLoad } from '../load'
import { Failed } from '../parts/failed'
import { Sign } from '../parts/icons'
import { go, now, view } from '../state'
import { durationLabel, momentLabel, spanOf, writeMoment } from '../time'
import { trim } from './state'

// History lists what fired in the time range.
export function History() {
  const before = useSignal<number | undefined>(undefined)
  const { range } = view.value
  const { body, failure, again } = useLoad((signal) => {
    const span = spanOf(range, now.peek())
    return get('/api/v1/alerts/history', { start: writeMoment(Math.floor(span.from)), end: writeMoment(Math.ceil(span.to)), limit: 100, ...(before.value === undefined ? {} : { before: before.value }) }, signal)
  }, 15, [JSON.stringify(range), before.value])
  if (failure && !body) return <section class="panel"><Failed failure={failure} again={again} /></section>
  if (!body) return <section class="panel"><p class="over quiet">{t('state.loading')}</p></section>
  return (
    <section class="panel" aria-label={t('alerts.tab.history')}>
      {body.episodes.length === 0 ? <p class="over">{t('alerts.history.none')}</p> : (
        <ul class="list">
          {body.episodes.map((e) => {
            const from = Date.parse(e.fired_at) / 1000
            const to = e.ended_at ? Date.parse(e.ended_at) / 1000 : null
            return (
              <li key={`${e.fingerprint} ${e.fired_at}`}>
                <Sign level={to === null ? 'critical' : 'ok'} />
                <b>{e.rule}</b>
                {e.severity && <span class="chip">{e.severity}</span>}
                <span class="end">
                  <button class="link" onClick={() => { go({ page: 'overview', range: { from: Math.floor(from) - 600, to: Math.ceil(Math.min((to ?? now.peek()) + 600, now.peek())) } }) }}>
                    <time>{momentLabel(from, language, now.peek())} – {to === null ? t('alerts.still') : momentLabel(to, language, now.peek())}</time>
                  </button>
                  <span>{durationLabel(Math.max(0, (to ?? now.peek()) - from), language)}</span>
                </span>
                <span class="line">{e.summary}{e.value !== null && ` · ${trim(e.value)}`}{e.end_value !== null && ` → ${trim(e.end_value)}`}</span>
              </li>
            )
          })}
        </ul>
      )}
      {body.next !== undefined && <button class="more plain" onClick={() => { before.value = body.next }}>{t('alerts.older')}</button>}
    </section>
  )
}
