import '../parts/form.css'
import '../table/table.css'
import { get } from '../api/client'
import type { components } from '../api/schema'
import { hostName } from '../host'
import { language, t } from '../i18n'
import { limits } from '../thresholds'
import { type Level, levelOf, type Limit } from '../limits'
import { useLoad } from '../load'
import { Failed } from '../parts/failed'
import { Sign } from '../parts/icons'
import { go, hrefOf, now } from '../state'
import { durationLabel } from '../time'

type Host = components['schemas']['Host']

// Hosts lists the known machines: the agent's own, or with VictoriaMetrics all that push
// there.
export function Hosts() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/hosts', undefined, signal), 5)
  if (failure && !body) return <section class="panel"><Failed failure={failure} again={again} /></section>
  if (!body) return <section class="panel"><p class="over quiet">{t('state.loading')}</p></section>
  const late = body.hosts.filter((h) => h.status !== 'up').length
  return (
    <>
      <section class="moment"><p><strong>{t(body.hosts.length === 1 ? 'hosts.one' : 'hosts.count', { n: body.hosts.length })}</strong>{late > 0 && <span class="clause warning">{t('hosts.late', { n: late })}</span>}</p></section>
      {body.warnings?.map((w) => <p class="alert" role="alert" key={w}><Sign level="warning" />{w}</p>)}
      <section class="panel processes hosts" aria-label={t('page.hosts')}>
        <div class="scroll" tabIndex={0} role="region" aria-label={t('page.hosts')}>
          <table>
            <thead><tr><th class="column-name" scope="col">{t('hosts.name')}</th><th class="column-status" scope="col">{t('hosts.status')}</th><th scope="col">{t('meter.cpu')}</th><th scope="col">{t('meter.memory')}</th><th scope="col">{t('hosts.disk')}</th><th class="column-started" scope="col">{t('hosts.version')}</th></tr></thead>
            <tbody>{body.hosts.map((h) => <Line key={h.host_name} host={h} />)}</tbody>
          </table>
        </div>
      </section>
    </>
  )
}

function Line({ host: h }: { host: Host }) {
  const seen = Date.parse(h.last_seen) / 1000
  const to = { page: 'overview', host: h.host_name === hostName.peek() ? '' : h.host_name } as const
  const late = h.status !== 'up'
  return (
    <tr class={late ? 'ended' : ''}>
      <th class="column-name" scope="row"><a href={hrefOf(to)} onClick={(e) => { e.preventDefault(); go(to) }}>{h.host_name}</a></th>
      <td class="column-status"><Sign level={late ? 'warning' : 'ok'} size={13} /> {late ? t('hosts.seen', { time: durationLabel(Math.max(1, now.value - seen), language) }) : t('hosts.up')}{h.other_host_ids && <span class="line error">{t('hosts.double', { n: h.other_host_ids.length + 1 })}</span>}</td>
      <Share value={h.cpu_percent} limit={limits.value.cpu} /><Share value={h.memory_percent} limit={limits.value.memory} /><Share value={h.disk_percent} limit={limits.value.disk} />
      <td class="column-started">{h.version || '–'}</td>
    </tr>
  )
}

function Share({ value, limit }: { value: number | null; limit: Limit }) {
  if (value === null) return <td>–</td>
  const level: Level = levelOf(value / 100, limit)
  return <td class={`meter-cell ${level}`}>{level !== 'ok' && <Sign level={level} size={12} />} {value.toFixed(value < 10 ? 1 : 0)}<small>%</small><span class="bar"><i style={{ width: `${Math.min(100, value)}%` }} /></span></td>
}
