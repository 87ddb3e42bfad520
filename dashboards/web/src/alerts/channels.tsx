import { useSignal } from '@preact/signals'
import { LogIn } from '../account/login'
import { isAdmin } from '../account/me'
import { ask, get } from '../api/client'
import type { components } from '../api/schema'
import { language, t, type Word } from '../i18n'
import { useLoad } from '../load'
import { asFailure, Failed } from '../parts/failed'
import { Sure } from '../parts/form'
import { go, now, view } from '../state'
import { momentLabel } from '../time'
import { ChannelEditor } from './channel'

type Channel = components['schemas']['Channel']

// Channels lists the notification channels.
export function Channels() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/alerts/channels', undefined, signal), 10)
  const { own } = view.value
  const edit = (channel: string) => { go({ own: { tab: 'channels', edit: channel } }) }
  const close = () => { go({ own: { tab: 'channels' } }); again() }
  if (isAdmin.value && own.edit === 'new') return <section class="panel"><ChannelEditor name="" options={{}} done={close} /></section>
  if (isAdmin.value && own.edit) return <section class="panel"><Edit name={own.edit} done={close} /></section>
  if (failure && !body) return <section class="panel"><Failed failure={failure} again={again} /></section>
  return (
    <section class="panel" aria-label={t('alerts.tab.channels')}>
      <header>
        <p class="note">{t('channels.about')} <LogIn /></p>
        {isAdmin.value && <button class="plain" onClick={() => { edit('new') }}>{t('channels.add')}</button>}
      </header>
      {body && body.channels.length === 0 && <p class="over">{t('channels.none')}</p>}
      <ul class="list">{body?.channels.map((c) => <Item key={c.name} channel={c} again={again} edit={() => { edit(c.name) }} />)}</ul>
    </section>
  )
}

// Edit loads what a channel has, without its secrets.
function Edit({ name, done }: { name: string; done: () => void }) {
  const { body, failure, again } = useLoad(async (signal) => (await ask<components['schemas']['ChannelOptions']>(`/api/v1/alerts/channels/${encodeURIComponent(name)}`, { signal })).body, 0, [name])
  if (failure && !body) return <Failed failure={failure} again={again} />
  return body ? <ChannelEditor key={name} name={name} options={body.options} done={done} /> : <p class="over quiet">{t('state.loading')}</p>
}

function Item({ channel: c, again, edit }: { channel: Channel; again: () => void; edit: () => void }) {
  const outcome = useSignal<{ good: boolean; text: string } | null>(null)
  const busy = useSignal(false)
  const test = async () => {
    busy.value = true
    outcome.value = null
    try {
      const { body } = await ask<components['schemas']['ChannelTest']>(`/api/v1/alerts/channels/${encodeURIComponent(c.name)}/test`, { method: 'POST' })
      outcome.value = body.sent ? { good: true, text: t('channels.sent') } : { good: false, text: body.error ?? '' }
    } catch (e) {
      const failure = asFailure(e)
      outcome.value = { good: false, text: failure.detail || t(`state.${failure.kind}` as Word) }
    }
    busy.value = false
    again()
  }
  return (
    <li>
      <b>{c.name}</b><span class="chip">{c.type}</span><span class="chip">{t(c.source === 'api' ? 'rules.source.api' : 'rules.source.config')}</span>
      {c.last_error ? <span class="chip firing critical">{t('channels.failing')}</span> : c.last_success ? <span class="chip ok">{t('channels.ok')}</span> : <span class="chip">{t('channels.never')}</span>}
      {c.waiting > 0 && <span class="chip pending">{t('channels.waiting', { n: c.waiting })}</span>}
      <span class="end">
        {c.last_success && <time>{t('channels.last', { time: momentLabel(Date.parse(c.last_success) / 1000, language, now.peek()) })}</time>}
        {isAdmin.value && c.source === 'api' && <button class="link" onClick={edit}>{t('rules.edit')}</button>}
        {isAdmin.value && c.source === 'api' && <Sure label={t('rules.delete')} really={t('form.sure')} go={async () => { await ask(`/api/v1/alerts/channels/${encodeURIComponent(c.name)}`, { method: 'DELETE' }); again() }} />}
        {isAdmin.value && <button class="link" disabled={busy.value} onClick={() => { void test() }}>{t(busy.value ? 'channels.testing' : 'channels.test')}</button>}
      </span>
      {outcome.value && <span class={outcome.value.good ? 'line' : 'line error'} role="status">{outcome.value.text}</span>}
      {c.last_error && <span class="line error">{c.last_error}</span>}
    </li>
  )
}
