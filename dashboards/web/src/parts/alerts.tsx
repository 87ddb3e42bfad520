import { language, t } from '../i18n'
import { go, hrefOf, now } from '../state'
import { momentLabel } from '../time'
import { hostAlerts } from '../watch'
import { Sign } from './icons'

// ActiveAlerts lists the firing alerts, with links to the alerts page.
export function ActiveAlerts() {
  const list = hostAlerts.value ?? []
  if (list.length === 0) return null
  return (
    <section class="active-alerts" aria-label={t('alerts.active')}>
      {list.map((a) => (
        <a key={a.id} class={`alert ${a.level}`} href={hrefOf({ page: 'alerts' })} onClick={(e) => { e.preventDefault(); go({ page: 'alerts' }) }}>
          <Sign level={a.level} />
          <b>{a.name}</b>
          <span>{a.summary}</span>
          {a.since > 0 && <time>{t('alerts.since', { time: momentLabel(a.since, language, now.peek(), false) })}</time>}
        </a>
      ))}
    </section>
  )
}
