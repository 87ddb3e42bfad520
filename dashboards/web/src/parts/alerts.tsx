import { language, t } from '../i18n'
import { go, now } from '../state'
import { momentLabel } from '../time'
import { alerts } from '../watch'
import { Sign } from './icons'

// ActiveAlerts lists what fires, each with the way to its rule and history.
export function ActiveAlerts() {
  const list = alerts.value ?? []
  if (list.length === 0) return null
  return (
    <section class="active-alerts" aria-label={t('alerts.active')}>
      {list.map((a) => (
        <a key={a.id} class={`alert ${a.level}`} href="/alerts" onClick={(e) => { e.preventDefault(); go({ page: 'alerts' }) }}>
          <Sign level={a.level} />
          <b>{a.name}</b>
          <span>{a.summary}</span>
          {a.since > 0 && <time>{t('alerts.since', { time: momentLabel(a.since, language, now.peek(), false) })}</time>}
        </a>
      ))}
    </section>
  )
}
