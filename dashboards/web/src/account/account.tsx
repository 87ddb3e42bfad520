import { useSignal } from '@preact/signals'
import { ask } from '../api/client'
import { base } from '../base'
import { t } from '../i18n'
import { Field, Form } from '../parts/form'
import { LogIn } from './login'
import { loadMe, mayLogIn, me } from './me'

// Account shows the current user, with logout and password change.
export function Account() {
  const who = me.value
  const changing = useSignal(false)
  if (!who) return null
  const leave = async () => {
    await ask('/api/v1/auth/logout', { method: 'POST' }).catch(() => undefined)
    location.assign(base + '/login')
  }
  return (
    <section class="panel">
      <header><h2>{t('account.title')}</h2></header>
      <p>{who.kind === 'user' || who.kind === 'proxy' ? t('account.user', { name: who.name ?? '', role: t(`role.${who.role}`) }) : who.kind === 'token' ? t('account.token', { name: who.name ?? '', role: t(`role.${who.role}`) }) : t('account.local', { role: t(`role.${who.role}`) })}</p>
      {mayLogIn.value && <p class="note">{t('account.viewer')} <LogIn /></p>}
      {who.kind === 'user' && !changing.value && (
        <p class="form actions">
          <button class="plain" onClick={() => { changing.value = true }}>{t('account.password')}</button>
          <button class="plain" onClick={() => { void leave() }}>{t('account.leave')}</button>
        </p>
      )}
      {changing.value && <Password done={() => { changing.value = false; void loadMe() }} />}
    </section>
  )
}

function Password({ done }: { done: () => void }) {
  const old = useSignal('')
  const next = useSignal('')
  const submit = async () => {
    await ask('/api/v1/auth/password', { body: { old_password: old.value, new_password: next.value, cookie: true } })
    done()
  }
  return (
    <Form submit={submit} label={t('account.password')} cancel={done}>
      <Field name={t('account.password.old')}><input type="password" autoComplete="current-password" value={old.value} onInput={(e) => { old.value = e.currentTarget.value }} required /></Field>
      <Field name={t('account.password.new')} help={t('account.password.help')}><input type="password" autoComplete="new-password" minLength={12} value={next.value} onInput={(e) => { next.value = e.currentTarget.value }} required /></Field>
    </Form>
  )
}
