import { t } from '../i18n'
import { mayLogIn } from './me'

// LogIn leads a viewer without a login to the login page.
export function LogIn() {
  if (!mayLogIn.value) return null
  return <a href={'/login?next=' + encodeURIComponent(location.pathname + location.search)}>{t('account.enter')}</a>
}
