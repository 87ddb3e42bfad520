import { loginPage } from '../api/client'
import { t } from '../i18n'
import { mayLogIn } from './me'

// LogIn leads a viewer without a login to the login page.
export function LogIn() {
  if (!mayLogIn.value) return null
  return <a href={loginPage()}>{t('account.enter')}</a>
}
