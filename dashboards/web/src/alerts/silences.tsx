import { useSignal } from '@preact/signals'
import { LogIn } from '../account/login'
import { isAdmin } from '../account/me'
import { ask, get } from '../api/client'
import type { components } from '../api/schema'
import { language, t } from '../i18n'
import { useLoad } from '../load'
import { Failed } from '../parts/failed'
import { Field, Form, Sure } from '../parts/form'
import { go, now, view } from '../state'
import { fromField, momentLabel, toField, writeMoment } from '../time'

type Silence = components['schemas']['Silence']
type Matcher = Silence['matchers'][number]

// Silences suppress notifications for a while; alerts are still evaluated.
export function Silences() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/alerts/silences', undefined, signal), 15)
  const { own } = view.value
  const adding = useSignal(own.rule !== undefined)
  if (failure && !body) return <section class="panel"><Failed failure={failure} again={again} /></section>
  const done = () => {
    adding.value = false
    go({ own: { tab: 'silences' } }, 'replace')
    again()
  }
  return (
    <section class="panel" aria-label={t('alerts.tab.silences')}>
      <header><p class="note">{t('silences.about')} <LogIn /></p>{isAdmin.value && !adding.value && <button class="plain" onClick={() => { adding.value = true }}>{t('silences.add')}</button>}</header>
      {adding.value && <New rule={own.rule ?? ''} host={own.host ?? ''} done={done} cancel={() => { adding.value = false }} />}
      {body && body.silences.length === 0 && !adding.value && <p class="over">{t('silences.none')}</p>}
      <ul class="list">
        {body?.silences.map((s) => (
          <li key={s.id}>
            <span class={`chip ${s.state === 'active' ? 'pending' : ''}`}>{t(`silences.${s.state}`)}</span>
            <b>{s.matchers.map(written).join(', ')}</b>
            <span class="end">
              <time>{momentLabel(Date.parse(s.start) / 1000, language, now.peek(), false)} – {momentLabel(Date.parse(s.end) / 1000, language, now.peek(), false)}</time>
              {isAdmin.value && s.state !== 'expired' && <Sure label={t('silences.end')} really={t('form.sure')} go={async () => { await ask(`/api/v1/alerts/silences/${encodeURIComponent(s.id)}`, { method: 'DELETE' }); again() }} />}
            </span>
            <span class="line">{s.comment} · {s.author}</span>
          </li>
        ))}
      </ul>
    </section>
  )
}

const written = (m: Matcher): string => `${m.name}${m.op}${JSON.stringify(m.value)}`

function New({ rule, host, done, cancel }: { rule: string; host: string; done: () => void; cancel: () => void }) {
  const text = useSignal([rule && `alertname=${JSON.stringify(rule)}`, host && `host_name=${JSON.stringify(host)}`].filter(Boolean).join(', '))
  const end = useSignal(toField(Math.floor(now.peek()) + 2 * 3600))
  const comment = useSignal('')
  const submit = async () => {
    await ask('/api/v1/alerts/silences', { body: { matchers: readMatchers(text.value), end: writeMoment(fromField(end.value) ?? 0), comment: comment.value } })
    done()
  }
  return (
    <Form submit={submit} label={t('silences.add')} cancel={cancel}>
      <Field name={t('silences.matchers')} help={t('silences.matchers.help')} wide><input value={text.value} onInput={(e) => { text.value = e.currentTarget.value }} placeholder='alertname="HighCPU"' required /></Field>
      <Field name={t('silences.until')}><input type="datetime-local" step={1} value={end.value} onInput={(e) => { end.value = e.currentTarget.value }} required /></Field>
      <Field name={t('silences.comment')} wide><input value={comment.value} maxLength={500} onInput={(e) => { comment.value = e.currentTarget.value }} required /></Field>
    </Form>
  )
}

// readMatchers parses PromQL label matchers. It leaves invalid ones for the agent to reject.
export function readMatchers(text: string): Matcher[] {
  const found: Matcher[] = []
  for (const [, name = '', op = '=', quoted, bare] of text.matchAll(/([\w.]+)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^,\s"]+))/g)) {
    found.push({ name, op: op as Matcher['op'], value: quoted === undefined ? bare ?? '' : quoted.replace(/\\(.)/g, '$1') })
  }
  return found
}
