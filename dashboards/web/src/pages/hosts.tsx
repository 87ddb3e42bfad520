import { t } from '../i18n'

export function Hosts() {
  return <section class="panel"><header><h2>{t('page.hosts')}</h2></header><p class="over">{t('soon')}</p></section>
}
