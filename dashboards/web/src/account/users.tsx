import { useSignal } from '@preact/signals'
import { ask, get } from '../api/client'
import type { components } from '../api/schema'
import { language, t } from '../i18n'
import { useLoad } from '../load'
import { Failed } from '../parts/failed'
import { Field, Form, Sure } from '../parts/form'
import { now } from '../state'
import { momentLabel } from '../time'
import { me } from './me'

type User = components['schemas']['User']
type Role = User['role']

// Users lists the accounts.
export function Users() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/users', undefined, signal))
  const adding = useSignal(false)
  return (
    <section class="panel">
      <header><h2>{t('users.title')}</h2><span class="resolution" />{!adding.value && <button class="plain" onClick={() => { adding.value = true }}>{t('users.add')}</button>}</header>
      {failure && <Failed failure={failure} again={again} />}
      {adding.value && <New done={() => { adding.value = false; again() }} />}
      <ul class="list">
        {body?.users.map((u) => (
          <li key={u.id}>
            <b>{u.name}</b><span class="chip">{t(`role.${u.role}`)}</span>
            <span class="end">
              <span>{u.last_login ? t('users.last', { time: momentLabel(Date.parse(u.last_login) / 1000, language, now.peek(), false) }) : t('users.never')}</span>
              {u.id !== me.value?.id && <button class="link" onClick={() => { void ask(`/api/v1/users/${encodeURIComponent(u.id)}`, { method: 'PATCH', body: { role: other(u.role) } }).finally(again) }}>{t('users.make', { role: t(`role.${other(u.role)}`) })}</button>}
              {u.id !== me.value?.id && <Sure label={t('users.delete')} really={t('form.sure')} go={async () => { await ask(`/api/v1/users/${encodeURIComponent(u.id)}`, { method: 'DELETE' }); again() }} />}
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}

const other = (role: Role): Role => (role === 'admin' ? 'viewer' : 'admin')

function New({ done }: { done: () => void }) {
  const name = useSignal('')
  const password = useSignal('')
  const role = useSignal<Role>('viewer')
  return (
    <Form label={t('users.add')} cancel={done} submit={async () => { await ask('/api/v1/users', { body: { name: name.value, password: password.value, role: role.value } }); done() }}>
      <Field name={t('users.name')}><input autoComplete="off" maxLength={64} value={name.value} onInput={(e) => { name.value = e.currentTarget.value }} required /></Field>
      <Field name={t('account.password.new')} help={t('account.password.help')}><input type="password" autoComplete="new-password" minLength={12} value={password.value} onInput={(e) => { password.value = e.currentTarget.value }} required /></Field>
      <Field name={t('users.role')}><RoleChoice value={role.value} set={(r) => { role.value = r }} /></Field>
    </Form>
  )
}

export function RoleChoice({ value, set }: { value: Role; set: (role: Role) => void }) {
  return <select value={value} onChange={(e) => { set(e.currentTarget.value as Role) }}><option value="viewer">{t('role.viewer')}</option><option value="admin">{t('role.admin')}</option></select>
}
