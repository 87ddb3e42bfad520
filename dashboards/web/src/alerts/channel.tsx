import { useSignal } from '@preact/signals'
import { ask } from '../api/client'
import { t } from '../i18n'
import { Field, Form } from '../parts/form'
import { type Fields, fieldsOf, fresh, hidden, type Kind, kindOf, kinds, optionsOf } from './options'

// The fields with a name of their own.
const named = ['url', 'channel', 'server', 'from', 'to', 'username', 'password', 'authorization', 'file'] as const
type Named = (typeof named)[number]

// What the fields need; all others are optional.
const required = ['url', 'server', 'from', 'to', 'file', 'yaml']
const secrets = ['url', 'password', 'authorization']
const places: Record<string, string> = { url: 'https://…', server: 'smtp.example.org:587', from: 'sysotel@example.org', to: 'ops@example.org, …', channel: '#ops', file: 'alerts.log', authorization: 'Bearer …', yaml: 'telegram_configs:\n- bot_token: …\n  chat_id: 12345' }

// ChannelEditor makes or changes a channel. Secrets are written and never read.
export function ChannelEditor({ name: first, options, done }: { name: string; options: Record<string, unknown>; done: () => void }) {
  const isNew = first === ''
  const name = useSignal(first)
  const kind = useSignal<Kind>(isNew ? 'slack' : kindOf(options))
  const fields = useSignal<Fields>(isNew ? fresh.slack : fieldsOf(options))
  const save = async () => {
    const body = { options: optionsOf(kind.value, fields.value, options) }
    if (isNew) await ask('/api/v1/alerts/channels', { body: { name: name.value.trim(), ...body } })
    else await ask(`/api/v1/alerts/channels/${encodeURIComponent(first)}`, { method: 'PUT', body })
    done()
  }
  const set = (field: string) => (e: { currentTarget: { value: string } }) => { fields.value = { ...fields.value, [field]: e.currentTarget.value } }
  return (
    <>
      <header><h2>{isNew ? t('channels.add') : first}</h2></header>
      <Form submit={save} label={t('rules.save')} cancel={done}>
        {isNew && <Field name={t('rules.name')} help={t('channels.name.help')}><input value={name.value} maxLength={64} required pattern="[A-Za-z0-9_.\-]+" onInput={(e) => { name.value = e.currentTarget.value }} /></Field>}
        <Field name={t('channels.kind')}>
          <select value={kind.value} onChange={(e) => {
            kind.value = e.currentTarget.value as Kind
            fields.value = fresh[kind.value]
          }}>{kinds.map((one) => <option key={one} value={one}>{t(`channels.kind.${one}`)}</option>)}</select>
        </Field>
        {Object.entries(fields.value).map(([field, value]) => field === 'tls'
          ? <Field key={field} name={t('channels.tls')}><select value={value} onChange={set(field)}>{['starttls', 'tls', 'none'].map((one) => <option key={one} value={one}>{one}</option>)}</select></Field>
          : field === 'yaml'
            ? <Field key={field} name={t('channels.yaml')} help={t('channels.yaml.help')} wide><textarea rows={7} value={value} placeholder={places[field]} spellcheck={false} required onInput={set(field)} /></Field>
            : (
              <Field key={field} name={t(`channels.${field as Named}`)} wide={field === 'url'} {...(secrets.includes(field) ? { help: t(value === hidden ? 'channels.secret.kept' : 'channels.secret') } : {})}>
                <Text isSecret={field === 'password' || value === hidden} value={value} placeholder={places[field] ?? ''} required={required.includes(field)} set={set(field)} />
              </Field>
            ))}
      </Form>
    </>
  )
}

// Text is a field whose value may have to be kept from others in the room.
function Text({ isSecret, value, placeholder, required, set }: { isSecret: boolean; value: string; placeholder: string; required: boolean; set: (e: { currentTarget: { value: string } }) => void }) {
  const props = { autocomplete: 'off', spellcheck: false, value, placeholder, required, onInput: set, onFocus: (e: { currentTarget: HTMLInputElement }) => { if (e.currentTarget.value === hidden) e.currentTarget.select() } }
  return isSecret ? <input type="password" {...props} /> : <input {...props} />
}
