import { useSignal } from '@preact/signals'
import { ask } from '../api/client'
import type { components } from '../api/schema'
import { t } from '../i18n'
import { Field, Form, Numeric } from '../parts/form'

type Rule = components['schemas']['RuleStatus']

// Adjust sets the threshold and the duration of a built-in rule.
export function Adjust({ rule, done }: { rule: Rule; done: () => void }) {
  const b = rule.builtin!
  const threshold = useSignal<number | null>(b.current ?? null)
  const hold = useSignal(rule.for)
  const path = `/api/v1/alerts/rules/${encodeURIComponent(rule.name)}/adjustment`
  const save = async () => {
    const text = hold.value.trim() || '0s'
    const body = {
      ...(threshold.value !== null && threshold.value !== b.threshold ? { threshold: threshold.value } : {}),
      ...(text === b.for ? {} : { for: text }),
    }
    await ask(path, Object.keys(body).length > 0 ? { method: 'PUT', body } : { method: 'DELETE' })
    done()
  }
  const unit = rule.annotations?.unit ?? ''
  const builtin = (value: string) => t('rules.builtin', { value })
  return (
    <div class="line adjust">
      <Form submit={save} label={t('rules.save')} cancel={done}>
        {b.op !== undefined && <Field name={`${t('rules.threshold')} ${b.op} ${unit ? `(${unit})` : ''}`} help={builtin(String(b.threshold))}><Numeric value={threshold.value} required set={(value) => { threshold.value = value }} /></Field>}
        <Field name={t('rules.duration')} help={builtin(b.for)}><input value={hold.value} placeholder="5m" onInput={(e) => { hold.value = e.currentTarget.value }} /></Field>
        {b.adjusted && <div class="field"><span>&nbsp;</span><button class="plain" type="button" onClick={() => { threshold.value = b.threshold ?? null; hold.value = b.for }}>{t('rules.reset')}</button></div>}
      </Form>
    </div>
  )
}
