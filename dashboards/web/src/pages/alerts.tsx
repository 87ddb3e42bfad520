import { Channels } from '../alerts/channels'
import { History } from '../alerts/history'
import { Rules } from '../alerts/rules'
import { Silences } from '../alerts/silences'
import { State } from '../alerts/state'
import { t } from '../i18n'
import { go, view } from '../state'

// The alerts: current, history, rules, silences and channels.

const tabs = { state: State, history: History, rules: Rules, silences: Silences, channels: Channels } as const
type Tab = keyof typeof tabs

export function Alerts() {
  const names = Object.keys(tabs) as Tab[]
  const tab = names.find((n) => n === view.value.own.tab) ?? 'state'
  const Content = tabs[tab]
  const show = (name: Tab) => { go({ own: { tab: name === 'state' ? '' : name } }) }
  const step = (e: KeyboardEvent) => {
    const by = e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0
    const next = names[(names.indexOf(tab) + by + names.length) % names.length]
    if (by === 0 || !next) return
    show(next)
    document.getElementById(`tab-${next}`)?.focus()
  }
  return (
    <>
      <div class="tabs" role="tablist" aria-label={t('page.alerts')} onKeyDown={step}>
        {names.map((n) => <button key={n} id={`tab-${n}`} role="tab" aria-selected={n === tab} aria-controls="tab-content" tabIndex={n === tab ? 0 : -1} onClick={() => { show(n) }}>{t(`alerts.tab.${n}`)}</button>)}
      </div>
      <div id="tab-content" role="tabpanel" aria-labelledby={`tab-${tab}`}><Content /></div>
    </>
  )
}
