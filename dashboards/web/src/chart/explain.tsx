import { type Signal, useSignal } from '@preact/signals'
import { useRef } from 'preact/hooks'
import { hostName } from '../host'
import { explanationOf, t, titleOf } from '../i18n'
import { expand, type Panel } from '../panels'
import { useDismiss } from '../parts/dismiss'

// Explain shows a panel's formula and source, its queries, and notes on their answer; window
// is the time that one point covers, in seconds.
export function Explain({ panel, window, notes }: { panel: Panel; window: () => number; notes?: Signal<string[]> }) {
  const isOpen = useSignal(false)
  const root = useRef<HTMLDivElement>(null)
  const id = `explain-${panel.id}`
  useDismiss(isOpen, root)
  return (
    <div class="explain" ref={root}>
      <button class="icon" aria-label={`${t('chart.explain')} ${titleOf('panel', panel.id, panel.title)}`} title={t('chart.explain')} aria-expanded={isOpen.value} aria-controls={id} onClick={() => { isOpen.value = !isOpen.value }}>
        <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" /><path d="M8 7.2v4M8 4.6v.9" stroke="currentColor" stroke-width="1.4" /></svg>
      </button>
      {isOpen.value && (
        <div class="popover" id={id}>
          <p>{explanationOf(panel.id, panel.explain)}</p>
          {notes?.value.map((text) => <p key={text} class="note">{text}</p>)}
          <h4>{t('chart.query')}</h4>
          {panel.queries.map((q) => <code key={q.expr}>{expand(q.expr, { host: hostName.value, window: window() })}</code>)}
        </div>
      )}
    </div>
  )
}
