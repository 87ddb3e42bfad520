import { useEffect, useRef } from 'preact/hooks'
import { t } from '../i18n'
import type { Page } from '../route'
import { go } from '../state'

// The keys of the whole page. ? shows them; g and a letter lead to a page, so that no
// single letter does anything by mistake.
const letters: Record<string, Page> = { o: 'overview', p: 'processes', a: 'alerts', h: 'hosts', s: 'settings' }

// patience is how long g waits for its letter, in milliseconds.
const patience = 1500

export function Shortcuts() {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    let began = -Infinity
    const key = (e: KeyboardEvent) => {
      const { target } = e
      if (e.defaultPrevented || e.altKey || e.ctrlKey || e.metaKey || (target instanceof HTMLElement && target.matches('input, select, textarea'))) return
      const page = letters[e.key]
      if (e.key === '?') dialog.current?.showModal()
      else if (e.key === 'g') began = e.timeStamp
      else if (page && e.timeStamp - began < patience) {
        dialog.current?.close()
        go({ page })
      } else return
      if (e.key !== 'g') began = -Infinity
      e.preventDefault()
    }
    addEventListener('keydown', key)
    return () => { removeEventListener('keydown', key) }
  }, [])
  const row = (keys: string, what: string) => <div key={keys}><dt>{keys.split(' ').map((one) => <kbd key={one}>{one}</kbd>)}</dt><dd>{what}</dd></div>
  return (
    <dialog class="shortcuts" ref={dialog} aria-label={t('keys.title')} onClick={(e) => { if (e.target === dialog.current) dialog.current?.close() }}>
      <header><h2>{t('keys.title')}</h2></header>
      <dl>
        {Object.entries(letters).map(([letter, page]) => row(`g ${letter}`, t(`page.${page}`)))}
        {row('/', t('keys.filter'))}
        {row('← →', t('keys.move'))}
        {row('Enter', t('keys.processes'))}
        {row('+ −', t('keys.zoom'))}
        {row('Esc', t('keys.leave'))}
      </dl>
      <form method="dialog"><button class="plain">{t('keys.close')}</button></form>
    </dialog>
  )
}
