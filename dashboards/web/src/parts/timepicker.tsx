import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { language, t } from '../i18n'
import { go, live, now, setRange, view } from '../state'
import { fromField, isLive, lengthOf, type Preset, presets, presetSeconds, spanLabel, spanOf, toField, zoneName } from '../time'
import { Icon } from './icons'

// TimePicker selects the time range of the whole page.
export function TimePicker() {
  const { range } = view.value
  const length = lengthOf(range)
  const shift = (by: number) => {
    const span = spanOf(range, now.value)
    const from = Math.round(span.from + by * length * 0.5)
    const to = Math.round(span.to + by * length * 0.5)
    if (to >= now.value) resume()
    else setRange({ from, to })
  }
  // Back to live uses the preset closest in length.
  const resume = () => setRange({ preset: isLive(range) ? range.preset : presets.reduce((a, b) => (Math.abs(presetSeconds[b] - length) < Math.abs(presetSeconds[a] - length) ? b : a)) })
  const pause = () => {
    const span = spanOf(range, now.value)
    go({ range: { from: Math.floor(span.from), to: Math.floor(span.to) } }, 'replace')
  }
  return (
    <div class="timepicker" role="group" aria-label={t('time.label')}>
      <button class="icon" onClick={() => { shift(-1) }} aria-label={t('time.earlier')} title={t('time.earlier')}><Icon name="left" /></button>
      <select class="preset" aria-label={t('time.label')} value={isLive(range) ? range.preset : ''} onChange={(e) => { setRange({ preset: e.currentTarget.value as Preset }) }}>
        {!isLive(range) && <option value="">{spanLabel(range, language, now.value)}</option>}
        {presets.map((p) => <option key={p} value={p}>{t(`time.${p}`)}</option>)}
      </select>
      <div class="segments">
        {presets.map((p) => (
          <button key={p} class="preset-button" aria-label={`${p}: ${t(`time.${p}`)}`} title={t(`time.${p}`)} aria-pressed={isLive(range) && range.preset === p} onClick={() => { setRange({ preset: p }) }}>{p}</button>
        ))}
        <Custom />
      </div>
      <button class="icon" onClick={() => { shift(1) }} disabled={live.value} aria-label={t('time.later')} title={t('time.later')}><Icon name="right" /></button>
      <button class={live.value ? 'liveness on' : 'liveness'} onClick={live.value ? pause : resume} title={t(live.value ? 'time.pause' : 'time.resume')}>
        <Icon name={live.value ? 'pause' : 'play'} size={14} />
        {t(live.value ? 'time.live' : 'time.paused')}
      </button>
    </div>
  )
}

function Custom() {
  const isOpen = useSignal(false)
  const isInverted = useSignal(false)
  const root = useRef<HTMLDivElement>(null)
  const { range } = view.value
  useEffect(() => {
    if (!isOpen.value) return
    root.current?.querySelector('input')?.focus()
    const close = (e: Event) => {
      if (e instanceof KeyboardEvent ? e.key === 'Escape' : !root.current?.contains(e.target as Node)) isOpen.value = false
    }
    addEventListener('keydown', close)
    addEventListener('pointerdown', close)
    return () => {
      removeEventListener('keydown', close)
      removeEventListener('pointerdown', close)
    }
  }, [isOpen.value])
  const span = spanOf(range, now.peek())
  const submit = (e: SubmitEvent) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    const from = fromField(String(form.get('from')))
    const to = fromField(String(form.get('to')))
    if (from === null || to === null || to <= from) {
      isInverted.value = true
      return
    }
    isOpen.value = false
    setRange({ from, to })
  }
  return (
    <div class="custom" ref={root}>
      <button aria-pressed={!isLive(range)} aria-expanded={isOpen.value} title={t('time.custom')} onClick={() => { isInverted.value = false; isOpen.value = !isOpen.value }}>
        <Icon name="calendar" size={15} /><span class={isLive(range) ? 'hidden-text' : 'when'}>{isLive(range) ? t('time.custom') : spanLabel(range, language, now.value)}</span>
      </button>
      {isOpen.value && (
        <form class="popover" onSubmit={submit} noValidate>
          <label>{t('time.from')}<input type="datetime-local" name="from" step="1" defaultValue={toField(span.from)} required /></label>
          <label>{t('time.to')}<input type="datetime-local" name="to" step="1" defaultValue={toField(span.to)} required /></label>
          <p class="note">{t('time.zone', { zone: zoneName(span.to) })}</p>
          {isInverted.value && <p class="error" role="alert">{t('time.order')}</p>}
          <button class="primary" type="submit">{t('time.show')}</button>
        </form>
      )}
    </div>
  )
}
