import { Account } from '../account/account'
import { isAdmin, me } from '../account/me'
import { Tokens } from '../account/tokens'
import { Users } from '../account/users'
import { t } from '../i18n'
import { Kept } from '../parts/kept'
import { Display } from '../parts/display'

// The settings: display, what is kept, account, and for administrators users and tokens.
export function Settings() {
  return (
    <>
      <section class="panel"><header><h2>{t('settings.display')}</h2></header><Display /></section>
      <Kept />
      <Account />
      {isAdmin.value && me.value?.kind !== 'local' && <Users />}
      {isAdmin.value && me.value?.kind !== 'local' && <Tokens />}
    </>
  )
}
