import { t } from '../i18n'

export function Alerts() {
  return <section class="panel"><header><h2>{t('page.alerts')}</h2></header><p class="over">{t('soon')}</p></section>
}
