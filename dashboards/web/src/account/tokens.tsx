import { useSignal } from '@preact/signals'
import { ask, get } from '../api/client'
import type { components } from '../api/schema'
import { language, t } from '../i18n'
import { useLoad } from '../load'
import { Failed } from '../parts/failed'
import { Field, Form, Numeric, Sure } from '../parts/form'
import { now } from '../state'
import { momentLabel } from '../time'
import { RoleChoice } from './users'

type Token = components['schemas']['Token']

// Tokens lists API tokens. A secret is shown once.
export function Tokens() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/tokens', undefined, signal))
  const adding = useSignal(false)
  const secret = useSignal('')
  return (
    <section class="panel">
      <header><h2>{t('tokens.title')}</h2><span class="resolution" />{!adding.value && <button class="plain" onClick={() => { adding.value = true; secret.value = '' }}>{t('tokens.add')}</button>}</header>
      {failure && <Failed failure={failure} again={again} />}
      {secret.value && <div class="secret" role="status"><span>{t('tokens.once')}</span><code>{secret.value}</code></div>}
      {adding.value && <New done={(made) => { adding.value = false; secret.value = made; again() }} />}
      {body?.tokens.length === 0 && !adding.value && <p class="over">{t('tokens.none')}</p>}
      <ul class="list">
        {body?.tokens.map((k) => (
          <li key={k.id}>
            <b>{k.name}</b><span class="chip">{t(`role.${k.role}`)}</span>
            <span class="end">
              <span>{k.last_used ? t('tokens.used', { time: momentLabel(Date.parse(k.last_used) / 1000, language, now.peek(), false) }) : t('tokens.unused')}</span>
              {k.expires && <span>{t('tokens.until', { time: momentLabel(Date.parse(k.expires) / 1000, language, now.peek(), false) })}</span>}
              <Sure label={t('tokens.delete')} really={t('form.sure')} go={async () => { await ask(`/api/v1/tokens/${encodeURIComponent(k.id)}`, { method: 'DELETE' }); again() }} />
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}

function New({ done }: { done: (secret: string) => void }) {
  const name = useSignal('')
  const role = useSignal<Token['role']>('viewer')
  const days = useSignal(365)
  const submit = async () => {
    const { body } = await ask<components['schemas']['NewToken']>('/api/v1/tokens', { body: { name: name.value, role: role.value, expires_in_seconds: Math.round(days.value * 86_400) } })
    done(body.secret)
  }
  return (
    <Form submit={submit} label={t('tokens.add')} cancel={() => { done('') }}>
      <Field name={t('tokens.name')} help={t('tokens.name.help')}><input maxLength={64} value={name.value} onInput={(e) => { name.value = e.currentTarget.value }} required /></Field>
      <Field name={t('users.role')}><RoleChoice value={role.value} set={(r) => { role.value = r }} /></Field>
      <Field name={t('tokens.days')} help={t('tokens.days.help')}><Numeric min={0} max={3650} value={days.value} set={(n) => { days.value = n ?? 0 }} /></Field>
    </Form>
  )
}
