import './form.css'
import type { ComponentChildren } from 'preact'
import { useSignal } from '@preact/signals'
import { useLayoutEffect, useRef } from 'preact/hooks'
import type { Failure } from '../api/client'
import { t } from '../i18n'
import { asFailure, Failed } from './failed'

// Parts of forms: a field with name and help, and a form that sends and shows errors.

export function Field({ name, help, wide, children }: { name: string; help?: string; wide?: boolean; children: ComponentChildren }) {
  return <label class={wide ? 'field wide' : 'field'}><span>{name}</span>{children}{help && <small>{help}</small>}</label>
}

// Numeric is a number input, null if empty. It leaves text alone while it is typed: "0."
// and "0.0" on the way to 0.05.
export function Numeric({ value, set, ...rest }: { value: number | null; set: (value: number | null) => void; min?: number; max?: number; required?: boolean }) {
  const input = useRef<HTMLInputElement>(null)
  useLayoutEffect(() => {
    const { current: typed } = input
    if (typed && (typed.value === '' ? null : typed.valueAsNumber) !== value) typed.value = value === null ? '' : String(value)
  }, [value])
  return <input ref={input} type="number" step="any" {...rest} onInput={(e) => {
    const { value: text, valueAsNumber: number, validity } = e.currentTarget
    if (text === '' ? !validity.badInput : Number.isFinite(number)) set(text === '' ? null : number)
  }} />
}

interface FormProps {
  submit: () => Promise<void>
  label: string
  cancel?: () => void
  children: ComponentChildren
}

export function Form({ submit, label, cancel, children }: FormProps) {
  const failure = useSignal<Failure | null>(null)
  const busy = useSignal(false)
  const send = async (e: SubmitEvent) => {
    e.preventDefault()
    if (busy.value) return
    busy.value = true
    failure.value = null
    try {
      await submit()
    } catch (e) {
      failure.value = asFailure(e)
    }
    busy.value = false
  }
  return (
    <form class="form" onSubmit={(e) => { void send(e) }}>
      {children}
      <div class="actions">
        <button class="primary" type="submit" disabled={busy.value}>{label}</button>
        {cancel && <button class="plain" type="button" onClick={cancel}>{t('form.cancel')}</button>}
      </div>
      {failure.value && <div class="wide form-error" role="alert"><Failed failure={failure.value} /></div>}
    </form>
  )
}

// Sure asks for confirmation before something is deleted.
export function Sure({ label, really, go }: { label: string; really: string; go: () => Promise<void> }) {
  const asked = useSignal(false)
  const failure = useSignal<Failure | null>(null)
  if (failure.value) return <span class="error" role="alert">{failure.value.detail || t(`state.${failure.value.kind}`)}</span>
  if (!asked.value) return <button class="link danger" type="button" onClick={() => { asked.value = true }}>{label}</button>
  return (
    <span class="sure">
      {really}{' '}
      <button class="link danger" type="button" onClick={() => { go().catch((e: unknown) => { failure.value = asFailure(e) }).finally(() => { asked.value = false }) }}>{label}</button>{' '}
      <button class="link" type="button" onClick={() => { asked.value = false }}>{t('form.cancel')}</button>
    </span>
  )
}
