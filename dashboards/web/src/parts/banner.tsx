import { language, t } from '../i18n'
import { wrong } from '../state'
import { connection, isStale, reading, silence } from '../stream'
import { durationLabel } from '../time'
import { Sign } from './icons'

// Banner says that the values are out of date, and why if known, or what of the address
// was not understood.
export function Banner() {
  if (!isStale.value) {
    if (wrong.value.length === 0) return null
    return <div class="banner" role="alert"><Sign level="warning" /><p>{t('state.link', { what: wrong.value.join(', ') })}</p></div>
  }
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
