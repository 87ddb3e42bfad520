import { get } from '../api/client'
import { language, t } from '../i18n'
import { useLoad } from '../load'
import { measure, now } from '../state'
import { durationLabel, momentLabel, stepLabel } from '../time'
import { written } from '../units'
import { Failed } from './failed'

// Kept says what the agent keeps: each tier with its age and its size, and what is added up.

// What a collector can add up.
const folders = ['process', 'disk', 'filesystem', 'network'] as const

export function Kept() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/storage', undefined, signal), 30)
  const size = (bytes: number) => written(bytes, 'bytes', measure.value)
  const folded = (body?.folded ?? []).flatMap((f) => {
    const collector = folders.find((one) => one === f.collector)
    return collector && f.names > 0 ? [t(`kept.folded.${collector}`, { n: f.names })] : []
  })
  const most = Math.max(1, ...(body?.tiers ?? []).map((tier) => tier.bytes), body?.records.bytes ?? 0)
  const row = (name: string, step: string, retention: string, oldest: string | undefined, bytes: number) => (
    <tr key={name}>
      <th scope="row">{name}{step && <small> {step}</small>}</th>
      <td>{retention}</td>
      <td>{oldest ? momentLabel(Date.parse(oldest) / 1000, language, now.peek(), false) : '–'}</td>
      <td class="size"><span>{size(bytes)}</span><span class="bar" aria-hidden="true"><i style={{ width: `${Math.min(100, 100 * bytes / most)}%` }} /></span></td>
    </tr>
  )
  const tables = body?.records.tiers ?? []
  return (
    <section class="panel kept" aria-label={t('kept.title')}>
      <header><h2>{t('kept.title')}</h2>{body && <span class="resolution">{t('kept.used', { used: size(body.bytes), max: size(body.max_bytes) })}</span>}</header>
      {failure && !body && <Failed failure={failure} again={again} />}
      {body && (
        <>
          <span class="bar whole" role="meter" aria-label={t('kept.used', { used: size(body.bytes), max: size(body.max_bytes) })} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(100 * body.bytes / body.max_bytes)}><i style={{ width: `${Math.min(100, 100 * body.bytes / body.max_bytes)}%` }} /></span>
          <table>
            <thead><tr><th scope="col">{t('kept.tier')}</th><th scope="col">{t('kept.retention')}</th><th scope="col">{t('kept.oldest')}</th><th scope="col">{t('kept.size')}</th></tr></thead>
            <tbody>
              {body.tiers.map((tier, i) => row(t(i === 0 ? 'kept.readings' : 'chart.means', { step: stepLabel(tier.step_seconds, language) }), i === 0 ? stepLabel(tier.step_seconds, language) : '', durationLabel(tier.retention_seconds, language), tier.oldest, tier.bytes))}
              {row(t('kept.records'), tables.map((one) => stepLabel(one.step_seconds, language)).join(', '), tables.length > 0 ? durationLabel(tables.at(-1)!.retention_seconds, language) : '–', undefined, body.records.bytes)}
            </tbody>
          </table>
          {body.backend === 'victoriametrics' && <p class="note">{t('kept.remote')}</p>}
          <p class="note">{t('kept.full')} {folded.length > 0 ? t('kept.folded', { what: folded.join(', ') }) : t('kept.folded.none')}</p>
        </>
      )}
    </section>
  )
}
