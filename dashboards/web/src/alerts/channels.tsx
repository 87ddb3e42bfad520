import { useSignal } from '@preact/signals'
import { LogIn } from '../account/login'
import { isAdmin } from '../account/me'
import { ask, get } from '../api/client'
import type { components } from '../api/schema'
import { language, t, type Word } from '../i18n'
import { useLoad } from '../load'
import { asFailure, Failed } from '../parts/failed'
import { now } from '../state'
import { momentLabel } from '../time'

type Channel = components['schemas']['Channel']

// Channels lists the notification channels.
export function Channels() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/alerts/channels', undefined, signal), 10)
  if (failure && !body) return <section class="panel"><Failed failure={failure} again={again} /></section>
  return (
    <section class="panel" aria-label={t('alerts.tab.channels')}>
      <header><p class="note">{t('channels.about')} <LogIn /></p></header>
      {body && body.channels.length === 0 && <p class="over">{t('channels.none')}</p>}
      <ul class="list">{body?.channels.map((c) => <Item key={c.name} channel={c} again={again} />)}</ul>
    </section>
  )
}

function Item({ channel: c, again }: { channel: Channel; again: () => void }) {
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
      <b>{c.name}</b><span class="chip">{c.type}</span>
      {c.last_error ? <span class="chip firing critical">{t('channels.failing')}</span> : c.last_success ? <span class="chip ok">{t('channels.ok')}</span> : <span class="chip">{t('channels.never')}</span>}
      {c.waiting > 0 && <span class="chip pending">{t('channels.waiting', { n: c.waiting })}</span>}
      <span class="end">
        {c.last_success && <time>{t('channels.last', { time: momentLabel(Date.parse(c.last_success) / 1000, language, now.peek()) })}</time>}
        {isAdmin.value && <button class="link" disabled={busy.value} onClick={() => { void test() }}>{t(busy.value ? 'channels.testing' : 'channels.test')}</button>}
      </span>
      {outcome.value && <span class={outcome.value.good ? 'line' : 'line error'} role="status">{outcome.value.text}</span>}
      {c.last_error && <span class="line error">{c.last_error}</span>}
    </li>
  )
}
