import { language, t } from '../i18n'
import { connection, isStale, reading, silence } from '../stream'
import { durationLabel } from '../time'
import { Sign } from './icons'

// Banner says that the values are out of date, and why if known.
export function Banner() {
  if (!isStale.value) return null
  const time = durationLabel(silence.value, language)
  return (
    <div class="banner" role="alert">
      <Sign level="warning" />
      <p>
        {reading.value && <b>{t('state.stale', { time })} </b>}
        {t(connection.value === 'open' ? 'state.stale.silent' : reading.value ? 'state.stale.offline' : 'state.offline')}
      </p>
    </div>
  )
}
