import { t } from '../i18n'
import { Display } from '../parts/display'

export function Settings() {
  return <section class="panel"><header><h2>{t('page.settings')}</h2></header><Display /></section>
}
