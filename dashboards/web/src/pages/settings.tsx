import { Account } from '../account/account'
import { isAdmin, me } from '../account/me'
import { Tokens } from '../account/tokens'
import { Users } from '../account/users'
import { t } from '../i18n'
import { Display } from '../parts/display'

// The settings: how this browser shows things, who one is, and for admins who
// else there is.
export function Settings() {
  return (
    <>
      <section class="panel"><header><h2>{t('settings.display')}</h2></header><Display /></section>
      <Account />
      {isAdmin.value && me.value?.kind !== 'local' && <Users />}
      {isAdmin.value && me.value?.kind !== 'local' && <Tokens />}
    </>
  )
}
