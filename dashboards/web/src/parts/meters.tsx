import { facts, hush } from '../facts'
import { t } from '../i18n'
import { limits } from '../thresholds'
import { live, measure, view } from '../state'
import { judge, loadShare } from '../judge'
import { type Level, type Limit, loadLimit, usual } from '../limits'
import { quantity, type Unit, written } from '../units'
import { Sign } from './icons'
import { resourceName } from './status'

// Meters show current values with their thresholds. They link to their charts.

interface Meter {
  id: string
  label: string
  panel: string
  value: number | null
  unit: Unit
  share: number | null
  level: Level
  limit: Limit
  note: string
}

const unknown = '–'
const coresOf = (n: number | null): string => (n === null ? unknown : n === 1 ? t('meter.cores.one') : t('meter.cores', { n }))

function meters(): Meter[] {
  const f = facts.value
  if (!f) return []
  const { cpu, memory, busy, pressure, load, swap, disks } = judge(f, limits.value)
  const say = (value: number | null | undefined, unit: Unit) => written(value, unit, measure.value)
  const list: Meter[] = [
    { id: 'cpu', label: t('meter.cpu'), panel: 'cpu', value: f.cpu, unit: 'ratio', share: f.cpu, level: cpu.level, limit: limits.value.cpu, note: coresOf(f.cores) },
    { id: 'memory', label: t('meter.memory'), panel: 'memory', value: f.memory.share, unit: 'ratio', share: f.memory.share, level: memory.level, limit: limits.value.memory, note: `${say(f.memory.used, 'bytes')} ${t('meter.of', { total: say(f.memory.total, 'bytes') })}` },
  ]
  // The fullest file systems; their chart has the rest.
  for (const fs of [...disks].sort((a, b) => b.share - a.share).slice(0, 2)) {
    list.push({ id: `disk ${fs.mount}`, label: t('meter.disk', { mount: fs.mount }), panel: 'disk_space', value: fs.share, unit: 'ratio', share: fs.share, level: fs.level, limit: limits.value.disk, note: t('meter.free', { value: say(fs.free, 'bytes') }) })
  }
  list.push({ id: 'busy', label: t('meter.busy'), panel: 'disk_io_total', value: f.busiest?.share ?? null, unit: 'ratio', share: f.busiest?.share ?? null, level: busy.level, limit: limits.value.busy, note: f.busiest?.device ?? unknown })
  list.push({ id: 'pressure', label: t('meter.pressure'), panel: 'pressure', value: f.pressure?.share ?? null, unit: 'ratio', share: f.pressure?.share ?? null, level: pressure.level, limit: limits.value.pressure, note: f.pressure ? t('meter.waiting', { resource: resourceName(f.pressure.resource) }) : unknown })
  list.push({ id: 'load', label: t('meter.load'), panel: 'load', value: f.load, unit: 'none', share: loadShare(f), level: load.level, limit: loadLimit, note: coresOf(f.cores) })
  list.push({ id: 'swap', label: t('meter.swap'), panel: 'swap', value: f.swap.share, unit: 'ratio', share: f.swap.share, level: swap.level, limit: limits.value.swap, note: f.swap.total ? `${say(f.swap.used, 'bytes')} ${t('meter.of', { total: say(f.swap.total, 'bytes') })}` : f.swap.total === 0 ? t('meter.none') : unknown })
  const traffic = f.network.received === null || f.network.sent === null ? null : f.network.received + f.network.sent
  list.push({ id: 'network', label: t('meter.network'), panel: 'network_total', value: traffic, unit: 'bytes_per_second', share: null, level: 'ok', limit: usual.busy, note: `↓ ${say(f.network.received, 'bytes_per_second')}  ↑ ${say(f.network.sent, 'bytes_per_second')}` })
  return list
}

export function Meters() {
  const past = !live.value || view.value.at !== null
  return (
    <>
      {past && <p class="meters-time">{t('meter.now')}</p>}
      <section class={hush.value ? 'meters stale' : 'meters'}>
        {meters().map((m) => <MeterTile key={m.id} meter={m} />)}
      </section>
    </>
  )
}

function MeterTile({ meter }: { meter: Meter }) {
  const { share, limit } = meter
  const level: Level = hush.value ? 'ok' : meter.level
  const q = meter.value === null ? null : quantity(meter.value, meter.unit, measure.value)
  const limitText = meter.id === 'load' ? '' : `, ${t('meter.threshold', { value: written(limit.warning, 'ratio', measure.value) })}`
  return (
    <a class={meter.id === 'network' ? 'meter traffic' : `meter ${level}`} href={`#panel-${meter.panel}`} onClick={(e) => { e.preventDefault(); reveal(meter.panel) }}>
      <span class="label">{meter.label}{level !== 'ok' && <Sign level={level} size={13} />}</span>
      <span class="value">{q ? <>{q.number}<small>{q.unit}</small></> : <small>–</small>}</span>
      {meter.id !== 'network' && <span class="bar" role="meter" aria-label={`${meter.label}${limitText}`} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(Math.min(share ?? 0, 1) * 100)}>
        <i style={{ width: `${Math.min(share ?? 0, 1) * 100}%` }} />
        <u style={{ left: `${limit.warning * 100}%` }} />
      </span>}
      {meter.id === 'network' && <Directions />}
      <span class="note">{meter.note}</span>
    </a>
  )
}

// Directions splits traffic into in and out.
function Directions() {
  const { received, sent } = facts.value?.network ?? {}
  return <span class="bar both" aria-hidden="true">{Boolean(received || sent) && <><i style={{ flexGrow: received ?? 0 }} /><i style={{ flexGrow: sent ?? 0 }} /></>}</span>
}

// reveal scrolls to a chart and focuses it.
export function reveal(panel: string): void {
  const element = document.getElementById(`panel-${panel}`)
  if (!element) return
  element.scrollIntoView({ block: 'center', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' })
  element.querySelector<HTMLElement>('.plot, [tabindex]')?.focus({ preventScroll: true })
}
