import '../parts/form.css'
import '../table/table.css'
import { get } from '../api/client'
import type { components } from '../api/schema'
import { hostName } from '../host'
import { language, t, type Word } from '../i18n'
import { limits } from '../thresholds'
import { type Level, levelOf, type Limit } from '../limits'
import { useLoad } from '../load'
import { Failed } from '../parts/failed'
import { Sign } from '../parts/icons'
import { go, hrefOf, now, view } from '../state'
import { arrangeHosts, type Counted, type HostColumn, hostColumns } from '../table/hosts'
import { durationLabel } from '../time'
import { alerts } from '../watch'

type Host = components['schemas']['Host']

const set = (change: Record<string, string>) => { go({ own: { ...view.value.own, ...change } }, 'replace') }

// Filtering helps where there are more machines than this.
const many = 8

// Hosts lists the known machines: the agent's own, or with VictoriaMetrics all that push
// there. Those in trouble come first.
export function Hosts() {
  const { body, failure, again } = useLoad((signal) => get('/api/v1/hosts', undefined, signal), 5)
  if (failure && !body) return <section class="panel"><Failed failure={failure} again={again} /></section>
  if (!body) return <section class="panel"><p class="over quiet">{t('state.loading')}</p></section>
  const { own } = view.value
  const sort = hostColumns.find((c) => c === own.sort) ?? ''
  const up = own.up === '1'
  const late = body.hosts.filter((h) => h.status !== 'up').length
  const list = arrangeHosts(body.hosts.map((h): Counted => ({ ...h, firing: alerts.value?.filter((a) => a.host === h.host_name && a.state === 'firing').length ?? 0 })), { sort, up, filter: own.q ?? '' })
  return (
    <>
      <section class="moment"><p><strong>{t(body.hosts.length === 1 ? 'hosts.one' : 'hosts.count', { n: body.hosts.length })}</strong>{late > 0 && <span class="clause warning">{t('hosts.late', { n: late })}</span>}</p></section>
      {body.warnings?.map((w) => <p class="alert" role="alert" key={w}><Sign level="warning" />{w}</p>)}
      <section class="panel processes hosts" aria-label={t('page.hosts')}>
        {body.hosts.length > many && (
          <header>
            <label class="filter">
              <span class="hidden-text">{t('hosts.filter')}</span>
              <input type="search" value={own.q ?? ''} placeholder={t('hosts.filter')} maxLength={100} onInput={(e) => { set({ q: e.currentTarget.value }) }} />
            </label>
          </header>
        )}
        <div class="scroll" tabIndex={0} role="region" aria-label={t('page.hosts')}>
          <table>
            <thead><tr>{hostColumns.map((c) => <Head key={c} column={c} sorted={sort === c} up={up} />)}</tr></thead>
            <tbody>{list.map((h) => <Line key={h.host_name} host={h} />)}</tbody>
          </table>
          {list.length === 0 && <p class="over">{t('hosts.none')}</p>}
        </div>
      </section>
    </>
  )
}

const heads: Record<HostColumn, Word> = { name: 'hosts.name', status: 'hosts.status', alerts: 'page.alerts', cpu: 'meter.cpu', memory: 'meter.memory', disk: 'hosts.disk', version: 'hosts.version' }
const classes: Partial<Record<HostColumn, string>> = { name: 'column-name', status: 'column-status', version: 'column-started' }

function Head({ column, sorted, up }: { column: HostColumn; sorted: boolean; up: boolean }) {
  return (
    <th class={classes[column]} scope="col" aria-sort={sorted ? (up ? 'ascending' : 'descending') : 'none'}>
      <button onClick={() => { set({ sort: column, up: sorted ? (up ? '' : '1') : column === 'name' ? '1' : '' }) }}>{t(heads[column])}<span aria-hidden="true">{sorted ? (up ? '↑' : '↓') : ''}</span></button>
    </th>
  )
}

function Line({ host: h }: { host: Counted }) {
  const seen = Date.parse(h.last_seen) / 1000
  const to = { page: 'overview', host: h.host_name === hostName.peek() ? '' : h.host_name } as const
  const late = h.status !== 'up'
  return (
    <tr class={late ? 'ended' : ''}>
      <th class="column-name" scope="row"><a href={hrefOf(to)} onClick={(e) => { e.preventDefault(); go(to) }}>{h.host_name}</a></th>
      <td class="column-status"><Sign level={late ? 'warning' : 'ok'} size={13} /> {late ? t('hosts.seen', { time: durationLabel(Math.max(1, now.value - seen), language) }) : t('hosts.up')}{h.other_host_ids && <span class="line error">{t('hosts.double', { n: h.other_host_ids.length + 1 })}</span>}</td>
      <td>{h.firing === 0 ? <span class="none">0</span> : <><Sign level="warning" size={12} /> {h.firing}</>}</td>
      <Share value={h.cpu_percent} limit={limits.value.cpu} late={late} /><Share value={h.memory_percent} limit={limits.value.memory} late={late} /><Share value={h.disk_percent} limit={limits.value.disk} late={late} />
      <td class="column-started">{h.version || '–'}</td>
    </tr>
  )
}

// Share is a value of now: a machine that says nothing has none.
function Share({ value, limit, late }: { value: Host['cpu_percent']; limit: Limit; late: boolean }) {
  if (value === null || late) return <td>–</td>
  const level: Level = levelOf(value / 100, limit)
  return <td class={`meter-cell ${level}`}>{level !== 'ok' && <Sign level={level} size={12} />} {value.toFixed(value < 10 ? 1 : 0)}<small>%</small><span class="bar"><i style={{ width: `${Math.min(100, value)}%` }} /></span></td>
}
