import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { language, t } from '../i18n'
import { go, hrefOf, live, now, setRange, view } from '../state'
import { copyText } from '../clipboard'
import { day, fromField, isLive, lengthOf, type Preset, presets, presetSeconds, spanLabel, spanOf, toField, zoneName } from '../time'
import { useDismiss } from './dismiss'
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
      {view.value.page === 'overview' && <Compare />}
      <Share />
    </div>
  )
}

// Share copies a link that shows others what is seen now: its range is two times.
function Share() {
  const copied = useSignal(false)
  const copy = () => {
    const span = spanOf(view.value.range, now.peek())
    const link = new URL(hrefOf({ range: { from: Math.floor(span.from), to: Math.ceil(span.to) } }), location.href).href
    void copyText(link).then(() => {
      copied.value = true
      setTimeout(() => { copied.value = false }, 2000)
    }, () => undefined)
  }
  const says = t(copied.value ? 'time.copied' : 'time.share')
  return <button class="icon copy-link" onClick={copy} aria-label={says} title={says}><Icon name={copied.value ? 'check' : 'link'} /></button>
}

// Compare chooses an earlier time that each chart is compared with.
function Compare() {
  const isOpen = useSignal(false)
  const isLater = useSignal(false)
  const root = useRef<HTMLDivElement>(null)
  useDismiss(isOpen, root)
  const { compare, range } = view.value
  const choose = (seconds: number) => {
    isOpen.value = false
    go({ compare: seconds })
  }
  const span = spanOf(range, now.peek())
  const submit = (e: SubmitEvent) => {
    e.preventDefault()
    const from = fromField(String(new FormData(e.currentTarget as HTMLFormElement).get('from')))
    const shift = from === null ? 0 : Math.round(span.from - from)
    isLater.value = shift <= 0
    if (shift > 0) choose(shift)
  }
  return (
    <div class="compare" ref={root}>
      <button class={compare > 0 ? 'icon on' : 'icon'} aria-expanded={isOpen.value} aria-label={t('compare.label')} title={t('compare.label')} onClick={() => { isLater.value = false; isOpen.value = !isOpen.value }}><Icon name="compare" /></button>
      {isOpen.value && (
        <form class="popover" onSubmit={submit} noValidate>
          <h4>{t('compare.label')}</h4>
          <div class="segments">
            {([['compare.none', 0], ['compare.day', day], ['compare.week', 7 * day]] as const).map(([word, seconds]) => <button key={word} type="button" aria-pressed={compare === seconds} onClick={() => { choose(seconds) }}>{t(word)}</button>)}
          </div>
          <label>{t('compare.from')}<input type="datetime-local" name="from" step="1" defaultValue={toField(span.from - (compare || day))} required /></label>
          {isLater.value && <p class="error" role="alert">{t('compare.order')}</p>}
          <button class="primary" type="submit">{t('compare.show')}</button>
        </form>
      )}
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
  }, [isOpen.value])
  useDismiss(isOpen, root)
  const span = spanOf(range, now.peek())
  const submit = (e: SubmitEvent) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    // What was not changed is what it was, in the hour that is there twice too.
    const read = (name: 'from' | 'to', after?: number) => {
      const text = String(form.get(name))
      return text === toField(span[name]) ? span[name] : fromField(text, after)
    }
    const from = read('from')
    const to = read('to', from ?? undefined)
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
          <p class="note">{t('time.zone', { zone: zoneName(span.from, span.to) })}</p>
          {isInverted.value && <p class="error" role="alert">{t('time.order')}</p>}
          <button class="primary" type="submit">{t('time.show')}</button>
        </form>
      )}
    </div>
  )
}
