import { useEffect } from 'preact/hooks'
import { hostName } from './host'
import { language, t } from './i18n'
import { Alerts } from './pages/alerts'
import { Hosts } from './pages/hosts'
import { Overview } from './pages/overview'
import { Processes } from './pages/processes'
import { Settings } from './pages/settings'
import { Banner } from './parts/banner'
import { Footer } from './parts/footer'
import { Icon } from './parts/icons'
import { Shortcuts } from './parts/shortcuts'
import { TimePicker } from './parts/timepicker'
import { type Page, pages } from './route'
import { go, hrefOf, isDark, theme, view } from './state'
import { alerts } from './watch'

const contents: Record<Page, () => preact.JSX.Element> = { overview: Overview, processes: Processes, alerts: Alerts, hosts: Hosts, settings: Settings }
// Pages without a time range have no time picker.
const timed: Page[] = ['overview', 'processes', 'alerts']

export function App() {
  const { page } = view.value
  const Content = contents[page]
  useEffect(() => {
    document.documentElement.lang = language
    document.title = [hostName.value, page === 'overview' ? '' : t(`page.${page}`), 'sysotel'].filter(Boolean).join(' · ')
  }, [page, hostName.value])
  return (
    <>
      <a class="skip" href="#content">{t('app.skip')}</a>
      <header class="top">
        <a class="brand" href={hrefOf({ page: 'overview' })} onClick={follow('overview')}>
          <svg viewBox="0 0 16 16" width="28" height="28" aria-hidden="true"><rect width="16" height="16" rx="4" /><path d="M2.5 9.5h2.2l1.6-5 2.6 7.5 1.7-4.5h2.9" /></svg>
          <strong title={hostName.value}>{hostName.value || 'sysotel'}</strong>
        </a>
        <nav aria-label={t('app.navigation')}>
          {pages.map((p) => (
            <a key={p} href={hrefOf({ page: p })} aria-current={p === page ? 'page' : undefined} onClick={follow(p)}>
              <Icon name={p} />
              <span>{t(`page.${p}`)}</span>
              {p === 'alerts' && (alerts.value?.length ?? 0) > 0 && <em>{alerts.value?.length}</em>}
            </a>
          ))}
        </nav>
        {timed.includes(page) && <TimePicker />}
        <button class="icon theme" onClick={() => { theme.value = isDark.value ? 'light' : 'dark' }} aria-label={`${t('settings.theme')}: ${t(isDark.value ? 'settings.theme.dark' : 'settings.theme.light')}`} title={t('settings.theme')}>
          <Icon name={isDark.value ? 'dark' : 'light'} />
        </button>
      </header>
      <Banner />
      <main id="content" class={page} tabIndex={-1}><Content /></main>
      <Footer />
      <Shortcuts />
    </>
  )
}

// follow navigates within the page, unless a new tab or window is requested.
function follow(page: Page) {
  return (e: MouseEvent) => {
    if (e.ctrlKey || e.metaKey || e.shiftKey || e.altKey || e.button !== 0) return
    e.preventDefault()
    go({ page })
  }
}
