import { t } from '../i18n'

export function Processes() {
  return <section class="panel"><header><h2>{t('page.processes')}</h2></header><p class="over">{t('soon')}</p></section>
}
