import { base } from '../base'
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { LogIn } from '../account/login'
import { isAdmin } from '../account/me'
import { ask, get } from '../api/client'
import type { components } from '../api/schema'
import { language, t } from '../i18n'
import { limits } from '../thresholds'
import { limitsOf } from '../limits'
import { useLoad } from '../load'
import { asFailure, Failed } from '../parts/failed'
import { NoSeriesList } from '../parts/noseries'
import { Sure } from '../parts/form'
import { go, now, view } from '../state'
import { momentLabel } from '../time'
import { Adjust } from './adjust'
import { Editor, fresh } from './editor'

type Rule = components['schemas']['RuleStatus']

// Rules lists all rules; those created here can be edited, those built in adjusted.
export function Rules() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/alerts/rules', undefined, signal), 15)
  const { own } = view.value
  useEffect(() => { if (body) limits.value = limitsOf(body.rules) }, [body])
  const open = (rule: string) => { go({ own: { tab: 'rules', edit: rule } }) }
  const close = () => { go({ own: { tab: 'rules' } }); again() }
  if (failure && !body) return <section class="panel"><Failed failure={failure} again={again} /></section>
  if (!body) return <section class="panel"><p class="over quiet">{t('state.loading')}</p></section>
  const editing = body.rules.find((r) => r.name === own.edit && r.threshold)
  if (own.edit === 'new' || editing) return <section class="panel"><Editor first={editing?.threshold ?? fresh()} isNew={!editing} done={close} /></section>
  const judged = Math.max(0, ...body.rules.map((r) => Date.parse(r.evaluated_at ?? '') / 1000 || 0))
  return (
    <section class="panel" aria-label={t('alerts.tab.rules')}>
      <header>
        <p class="note">{t('rules.about')} {judged > 0 && t('rules.evaluated', { time: momentLabel(judged, language, now.peek()) })} <a href={base + '/api/v1/alerts/rules/export'} download="sysotel_rules.yml">{t('rules.export')}</a> <LogIn /></p>
        {isAdmin.value && <button class="plain" onClick={() => { open('new') }}>{t('rules.add')}</button>}
      </header>
      <ul class="list">{body.rules.map((r) => <Item key={`${r.source} ${r.name}`} rule={r} edit={() => { open(r.name) }} again={again} />)}</ul>
    </section>
  )
}

// withoutNumbers is a rule's message with dots for its values.
export const withoutNumbers = (summary: string): string => summary.replace(/(?:\{\{.*?\}\})+/g, '…')

function Item({ rule: r, edit, again }: { rule: Rule; edit: () => void; again: () => void }) {
  const error = useSignal('')
  const adjusting = useSignal(false)
  const path = `/api/v1/alerts/rules/${encodeURIComponent(r.name)}`
  const enable = (enabled: boolean) => {
    error.value = ''
    ask(path, { method: 'PATCH', body: { enabled } }).then(again, (e: unknown) => { error.value = asFailure(e).detail })
  }
  return (
    <li>
      <b>{r.name}</b>
      <span class={`chip ${r.enabled ? `${r.state} ${r.severity}` : ''}`}>{t(r.enabled ? `alerts.state.${r.state}` : 'rules.disabled')}</span>
      {r.severity && <span class="chip">{r.severity}</span>}
      <span class="chip">{t(`rules.source.${r.source}`)}</span>
      {r.builtin?.adjusted && <span class="chip pending">{t('rules.adjusted')}</span>}
      <span class="end">
        {isAdmin.value && <label class="toggle"><input type="checkbox" checked={r.enabled} onChange={(e) => { enable(e.currentTarget.checked) }} />{t('rules.enabled')}</label>}
        {isAdmin.value && r.threshold && r.source === 'api' && <button class="link" onClick={edit}>{t('rules.edit')}</button>}
        {isAdmin.value && r.builtin && <button class="link" aria-expanded={adjusting.value} onClick={() => { adjusting.value = !adjusting.value }}>{t('rules.adjust')}</button>}
        {isAdmin.value && r.source === 'api' && <Sure label={t('rules.delete')} really={t('form.sure')} go={async () => { await ask(path, { method: 'DELETE' }); again() }} />}
      </span>
      {r.annotations?.summary && <span class="line">{withoutNumbers(r.annotations.summary)}</span>}
      <Expression rule={r} />
      {adjusting.value && <Adjust rule={r} done={() => { adjusting.value = false; again() }} />}
      {r.state === 'no_series' && <span class="line">{t('noseries.rule')}</span>}
      {r.no_series && (r.state === 'no_series' || r.state === 'off') && <NoSeriesList all={r.no_series} />}
      {r.error && <span class="line error">{r.error}</span>}
      {error.value && <span class="line error" role="alert">{error.value}</span>}
    </li>
  )
}

// Expression shows a rule's PromQL, collapsed if it is longer than a line.
function Expression({ rule: r }: { rule: Rule }) {
  const lasting = r.for && r.for !== '0s' ? ` · ${t('rules.for', { time: r.for })}` : ''
  if (r.expr.length <= 100) return <span class="line"><code>{r.expr}</code>{lasting}</span>
  return <details class="line"><summary>{t('rules.expr')}{lasting}</summary><code>{r.expr}</code></details>
}
