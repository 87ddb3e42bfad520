import '../table/table.css'
import { useSignal, useSignalEffect } from '@preact/signals'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { Failure, get } from '../api/client'
import { copyText } from '../clipboard'
import { remote } from '../facts'
import { hostName, isOwnHost } from '../host'
import { language, t, type Word } from '../i18n'
import { asFailure, Failed } from '../parts/failed'
import { Icon } from '../parts/icons'
import { PanelById } from '../parts/panel'
import { go, pathOf, measure, now, view } from '../state'
import { reading, seen } from '../stream'
import { arrange, type Column, columns, hold, path, type Row, startsUp, type Table, Trails, type Wish } from '../table/rows'
import { durationLabel, isLive, momentLabel, spanLabel, spanOf, stepLabel, writeMoment } from '../time'
import { quantity, written } from '../units'

// The process table: now, at a past time, or over a time range. Its order and filter are
// in the address.

type When = { kind: 'now' } | { kind: 'moment'; at: number } | { kind: 'span'; from: number; to: number }

function whenOf(): When {
  const { at, range, own } = view.value
  if (at !== null) return { kind: 'moment', at }
  if (!isLive(range)) return { kind: 'span', from: range.from, to: range.to }
  if (own.over) return { kind: 'span', ...spanOf(range, Math.floor(now.peek() / 10) * 10) }
  return { kind: 'now' }
}

function wishOf(): Wish {
  const { own } = view.value
  const sort = columns.find((c) => c === own.sort) ?? 'cpu'
  return { sort, up: own.up ? own.up === '1' : startsUp(sort), filter: own.q ?? '', kernel: own.kernel === '1', grouped: own.group === '1' }
}

const set = (change: Record<string, string>, how: 'push' | 'replace' = 'replace') => { go({ own: { ...view.value.own, ...change }, at: view.value.at }, how) }

// The columns by kind of time.
const shown: Record<When['kind'], Column[]> = {
  now: ['name', 'pid', 'user', 'status', 'cpu', 'memory', 'read', 'write', 'threads', 'started'],
  moment: ['name', 'pid', 'user', 'status', 'cpu', 'memory', 'read', 'write', 'threads', 'started'],
  span: ['name', 'pid', 'user', 'cpu', 'seconds', 'memory', 'peak', 'read', 'write', 'started'],
}
const maxRows = 1000 // The API's limit.
const firstRows = 100
const trailLength = 60

export function Processes() {
  const table = useSignal<Table | null>(null)
  const failure = useSignal<Failure | null>(null)
  const paused = useSignal(false)
  const pointed = useSignal(false)
  const limit = useSignal(firstRows)
  const open = useSignal('')
  const trails = useRef(new Trails(trailLength))
  const order = useRef<string[]>([])
  const before = useRef(new Map<string, Row>())
  const filter = useRef<HTMLInputElement>(null)
  const when = whenOf()
  const wish = wishOf()
  const question = when.kind === 'now' ? 'now' : when.kind === 'moment' ? `at ${when.at}` : `${when.from} ${when.to}`

  // Now is loaded at each reading, or at each third with many processes; the past once.
  useSignalEffect(() => {
    const asked = whenOf()
    const sort = asked.kind === 'span' ? serverSort(wishOf().sort) : 'cpu'
    if (!seen.value || !isOwnHost.value || (asked.kind === 'now' && paused.value)) return
    if (asked.kind === 'now') {
      const tick = reading.value?.tick ?? 0
      const many = (table.peek()?.total ?? 0) > 400
      if (many && tick % 3 !== 0 && table.peek()?.period === undefined) return
    }
    const asking = new AbortController()
    get('/api/v1/metrics/processes', {
      top: maxRows, sort, ...(asked.kind === 'moment' ? { at: writeMoment(asked.at) } : asked.kind === 'span' ? { start: writeMoment(asked.from), end: writeMoment(asked.to) } : {}),
    }, asking.signal).then(
      (answer) => {
        failure.value = null
        table.value = answer
        if (asked.kind === 'now') trails.current.add(arrange(answer.processes, { ...wishOf(), filter: '', kernel: true }))
      },
      (e: unknown) => { if (!asking.signal.aborted) failure.value = asFailure(e) },
    )
    // The next reading must not abort a request in flight.
    return asked.kind === 'now' ? undefined : () => { asking.abort() }
  })
  useEffect(() => {
    trails.current = new Trails(trailLength)
    order.current = []
    limit.value = firstRows
    table.value = null
    failure.value = null
  }, [question === 'now', wish.grouped])
  useEffect(() => { order.current = [] }, [wish.sort, wish.up, wish.filter, wish.kernel])
  useEffect(() => {
    const slash = (e: KeyboardEvent) => {
      if (e.key !== '/' || e.ctrlKey || e.metaKey || e.altKey || (e.target instanceof HTMLElement && e.target.closest('input, select, textarea'))) return
      e.preventDefault()
      filter.current?.focus()
      filter.current?.select()
    }
    addEventListener('keydown', slash)
    return () => { removeEventListener('keydown', slash) }
  }, [])

  const rows = useMemo(() => (table.value ? arrange(table.value.processes, wish) : []), [table.value, wish.sort, wish.up, wish.filter, wish.kernel, wish.grouped])
  const held = pointed.value && when.kind === 'now' && order.current.length > 0
  const list = held ? hold(order.current, rows, before.current) : rows.map((row) => ({ row, ended: false }))
  if (!held) order.current = rows.map((r) => r.key)
  before.current = new Map(list.map((l) => [l.row.key, l.row]))

  if (!isOwnHost.value) return <Elsewhere />
  const perCore = view.value.own.per === 'core'
  const head = shown[when.kind]
  return (
    <>
      <Moment when={when} table={table.value} />
      <div class="strip"><PanelById id={strip(wish.sort)} height={110} /></div>
      <section class="panel processes" aria-label={t('page.processes')}>
        <header>
          <label class="filter">
            <span class="hidden-text">{t('processes.filter')}</span>
            <input ref={filter} type="search" value={wish.filter} placeholder={t('processes.filter')} maxLength={100}
              onInput={(e) => { set({ q: e.currentTarget.value }) }}
              onKeyDown={(e) => { if (e.key === 'Escape') { set({ q: '' }); e.currentTarget.blur() } }} />
            <kbd aria-hidden="true">/</kbd>
          </label>
          <div class="switches">
            <Toggle word="processes.group" on={wish.grouped} set={(on) => { set({ group: on ? '1' : '' }) }} />
            <Toggle word="processes.kernel" on={wish.kernel} set={(on) => { set({ kernel: on ? '1' : '' }) }} />
            <div class="segments" role="group" aria-label={t('processes.per')}>
              <button aria-pressed={!perCore} onClick={() => { set({ per: '' }) }}>{t('processes.machine')}</button>
              <button aria-pressed={perCore} onClick={() => { set({ per: 'core' }) }}>{t('processes.core')}</button>
            </div>
            {when.kind === 'now' && (
              <button class={paused.value ? 'liveness' : 'liveness on'} onClick={() => { paused.value = !paused.value }} title={t(paused.value ? 'processes.resume' : 'processes.pause')}>
                <Icon name={paused.value ? 'play' : 'pause'} size={14} />{t(paused.value ? 'time.paused' : held ? 'processes.held' : 'time.live')}
              </button>
            )}
          </div>
        </header>
        {failure.value ? <Failed failure={failure.value} /> : !table.value ? <p class="over quiet">{t('state.loading')}</p> : (
          <div class="scroll" tabIndex={0} role="region" aria-label={t('page.processes')}
            onPointerEnter={(e) => { if (e.pointerType === 'mouse') pointed.value = true }} onPointerLeave={() => { pointed.value = false }}
            onFocusIn={(e) => { if ((e.target as HTMLElement).closest('tbody')) pointed.value = true }} onFocusOut={() => { pointed.value = false }}>
            <table>
              <thead><tr>{head.map((c) => <Head key={c} column={c} wish={wish} when={when} perCore={perCore} />)}</tr></thead>
              <tbody>
                {list.slice(0, limit.value).map(({ row, ended }) => (
                  <Line key={row.key} row={row} ended={ended} head={head} when={when} perCore={perCore} trail={when.kind === 'now' ? trails.current.of(row.key) : null}
                    open={open.value === row.key} toggle={() => { open.value = open.value === row.key ? '' : row.key }} />
                ))}
              </tbody>
              <tfoot><Rest table={table.value} head={head} perCore={perCore} /></tfoot>
            </table>
            {list.length === 0 && <p class="over">{t(wish.filter ? 'processes.none' : 'state.empty')}</p>}
            {list.length > limit.value && <button class="more" onClick={() => { limit.value = maxRows }}>{t('processes.more', { n: list.length - limit.value })}</button>}
          </div>
        )}
      </section>
    </>
  )
}

// The CSS class of a column.
const classOf = (column: Column): string => `column-${column}`

// The chart above the table shows what the rows are ranked by.
const strip = (sort: Column): string => (sort === 'memory' || sort === 'peak' ? 'memory' : sort === 'read' || sort === 'write' ? 'disk_io_total' : 'cpu')
const serverSort = (sort: Column) => (sort === 'memory' ? 'memory' : sort === 'peak' ? 'memory_peak' : sort === 'read' || sort === 'write' ? 'io' : 'cpu')

// Moment shows the time of the table, with links to others.
function Moment({ when, table }: { when: When; table: Table | null }) {
  const live = isLive(view.value.range)
  const period = table?.period
  const fine = when.kind !== 'now' && period ? t('processes.fine', { step: stepLabel(Math.max(1, Math.round((Date.parse(period.end) - Date.parse(period.start)) / 1000)), language) }) : ''
  const step = (by: number) => { if (when.kind === 'moment') go({ at: when.at + by }, 'replace') }
  const atNow = () => { go({ at: null, range: live ? view.value.range : { preset: '1h' }, own: { ...view.value.own, over: '' } }) }
  return (
    <section class="moment">
      <p>
        <strong>{when.kind === 'now' ? t('processes.now') : when.kind === 'moment' ? t('chart.processes', { time: momentLabel(when.at, language, now.value) }) : t('processes.span', { span: spanLabel(when, language, now.value) })}</strong>
        {table && <span>{t('processes.count', { n: table.total })}{fine && ` · ${when.kind === 'moment' ? fine : t('processes.ranked')}`}</span>}
        {table && table.hidden > 0 && <span>{t('processes.hidden', { n: table.hidden })}</span>}
        {table && table.unreadable > 0 && <span>{t('processes.unreadable', { n: table.unreadable })}</span>}
      </p>
      {when.kind === 'moment' && (
        <span class="steps">
          <button class="icon" onClick={() => { step(-5) }} aria-label={t('processes.before')} title={t('processes.before')}><Icon name="left" /></button>
          <button class="icon" onClick={() => { step(5) }} aria-label={t('processes.after')} title={t('processes.after')}><Icon name="right" /></button>
        </span>
      )}
      {when.kind === 'now' ? <button class="plain" onClick={() => { set({ over: '1' }, 'push') }}>{t('processes.over')}</button> : <button class="plain" onClick={atNow}>{t('processes.to.now')}</button>}
    </section>
  )
}

function Toggle({ word, on, set }: { word: Word; on: boolean; set: (on: boolean) => void }) {
  return <label class="toggle"><input type="checkbox" checked={on} onChange={(e) => { set(e.currentTarget.checked) }} />{t(word)}</label>
}

function Head({ column, wish, when, perCore }: { column: Column; wish: Wish; when: When; perCore: boolean }) {
  const sorted = wish.sort === column
  const word = when.kind === 'span' && (column === 'read' || column === 'write' || column === 'memory') ? (`processes.${column}.span` as Word) : (`processes.${column}` as Word)
  const next = () => { set({ sort: column, up: sorted ? (wish.up ? '0' : '1') : '' }) }
  return (
    <th class={classOf(column)} scope="col" aria-sort={sorted ? (wish.up ? 'ascending' : 'descending') : 'none'}>
      <button onClick={next}>{t(word)}{column === 'cpu' && <small> {t(perCore ? 'processes.core' : 'processes.machine')}</small>}<span aria-hidden="true">{sorted ? (wish.up ? '↑' : '↓') : ''}</span></button>
    </th>
  )
}

interface LineProps {
  row: Row
  ended: boolean
  head: Column[]
  when: When
  perCore: boolean
  trail: (number | null)[] | null
  open: boolean
  toggle: () => void
}

function Line({ row, ended, head, when, perCore, trail, open, toggle }: LineProps) {
  return (
    <>
      <tr class={[ended ? 'ended' : '', row.kernel ? 'kernel' : ''].join(' ')}>
        {head.map((c) => {
          if (c === 'name') {
            return (
              <th key={c} class={classOf(c)} scope="row">
                <button aria-expanded={open} onClick={toggle} title={row.name}>
                  <span>{row.name}</span>{row.count > 1 && <small>× {row.count}</small>}{ended && <small>{t('processes.ended')}</small>}
                </button>
              </th>
            )
          }
          return <td key={c} class={classOf(c)}>{cell(row, c, when, perCore, trail)}</td>
        })}
      </tr>
      {open && <tr class="detail"><td colSpan={head.length}><Detail row={row} when={when} /></td></tr>}
    </>
  )
}

// momentOf is the time that the table is about: the end of a range.
const momentOf = (when: When): number => (when.kind === 'moment' ? when.at : when.kind === 'span' ? Math.min(when.to, now.peek()) : now.peek())

function cell(row: Row, column: Column, when: When, perCore: boolean, trail: (number | null)[] | null) {
  switch (column) {
    case 'pid': return row.pid ?? ''
    case 'user': return <span title={row.user}>{row.user}</span>
    case 'status': return t(statuses[row.status] ?? 'processes.status.other', { status: row.status })
    case 'cpu': {
      const value = perCore ? row.core : row.machine
      return (
        <span class="with-trail">
          {trail && <svg class="trail" viewBox="0 0 60 18" width="60" height="18" aria-hidden="true"><path d={path(trail, trailLength, 60, 18)} /></svg>}
          <b class={value !== null && value < 0.05 ? 'idle' : ''}>{value === null ? '–' : value.toFixed(1)}</b>
        </span>
      )
    }
    case 'seconds': return row.seconds === null ? '–' : amount(row.seconds, 'seconds')
    case 'memory': return <>{amount(row.memory, 'bytes')}{(row.memoryShare ?? 0) >= 1 && <i class="share" style={{ width: `${Math.min(100, row.memoryShare ?? 0)}%` }} />}</>
    case 'peak': return amount(row.peak, 'bytes')
    case 'read':
    case 'write': return row[column] === 0 ? <span class="none">0</span> : amount(row[column], when.kind === 'span' ? 'bytes' : 'bytes_per_second')
    case 'threads': return row.threads || '–'
    case 'started': return row.started === null ? '–' : <span title={momentLabel(row.started, language, now.peek())}>{age(momentOf(when) - row.started)}</span>
    default: return ''
  }
}

const statuses: Record<string, Word> = {
  running: 'processes.status.running', sleeping: 'processes.status.sleeping', idle: 'processes.status.idle',
  blocked: 'processes.status.blocked', stopped: 'processes.status.stopped', zombie: 'processes.status.zombie', '': 'processes.status.unknown',
}

function amount(value: number | null, unit: 'bytes' | 'bytes_per_second' | 'seconds') {
  if (value === null) return <span class="none" title={t('processes.unknown')}>–</span>
  const q = quantity(value, unit, { ...measure.value, traffic: 'bytes' })
  return <>{q.number}<small>{q.unit}</small></>
}

// age is short: what matters is whether the process is new.
function age(seconds: number): string {
  const s = Math.max(0, seconds)
  const [n, unit] = s < 60 ? [s, 's'] : s < 3600 ? [s / 60, 'min'] : s < 86_400 ? [s / 3600, 'h'] : [s / 86_400, 'd']
  return `${Math.floor(n as number)} ${unit as string}`
}

// Detail shows what the row has no room for.
function Detail({ row, when }: { row: Row; when: When }) {
  const copied = useSignal(false)
  const [first] = row.members
  if (!first) return null
  const copy = () => {
    void copyText(row.members.map((p) => p.pid).join(' ')).then(() => { copied.value = true }, () => undefined)
  }
  return (
    <dl>
      {first.command_line && row.count === 1 && <div class="wide"><dt>{t('processes.command')}</dt><dd><code>{first.command_line}</code></dd></div>}
      <div><dt>{t('processes.program')}</dt><dd>{first.program}</dd></div>
      <div><dt>{t('processes.pid')}</dt><dd>{row.members.slice(0, 20).map((p) => p.pid).join(', ')}{row.count > 20 && ' …'} <button class="link" onClick={copy}>{t(copied.value ? 'processes.copied' : 'processes.copy')}</button></dd></div>
      {row.count === 1 && first.parent_pid !== null && <div><dt>{t('processes.parent')}</dt><dd>{first.parent_pid}</dd></div>}
      <div><dt>{t('processes.user')}</dt><dd>{row.user || '–'}</dd></div>
      <div><dt>{t('processes.status')}</dt><dd>{t(statuses[row.status] ?? 'processes.status.other', { status: row.status })}</dd></div>
      {row.started !== null && <div><dt>{t('processes.started.at')}</dt><dd>{momentLabel(row.started, language, now.peek())} ({durationLabel(Math.max(0, momentOf(when) - row.started), language)})</dd></div>}
      <div><dt>{t('processes.seconds')}</dt><dd>{written(row.seconds, 'seconds', measure.value)}</dd></div>
      <div><dt>{t('processes.memory')}</dt><dd>{written(row.memory, 'bytes', measure.value)}{row.memoryShare !== null && ` (${row.memoryShare.toFixed(1)}%)`}</dd></div>
      <div><dt>{t('processes.threads')}</dt><dd>{row.threads || '–'}</dd></div>
    </dl>
  )
}

// Rest is what no row shows, so that the table adds up to the machine.
function Rest({ table, head, perCore }: { table: Table; head: Column[]; perCore: boolean }) {
  const { others, unattributed } = table
  const value = (o: { cpu_percent: number | null; cpu_percent_core: number | null }) => (perCore ? o.cpu_percent_core : o.cpu_percent)?.toFixed(1) ?? '–'
  return (
    <>
      {(others.processes > 0 || (others.cpu_percent ?? 0) > 0.05 || (others.memory_rss ?? 0) > 0) && <tr>{head.map((c) => <td key={c} class={classOf(c)}>{c === 'name' ? (others.processes > 0 ? t('processes.others', { n: others.processes }) : t('processes.others.some')) : c === 'cpu' ? value(others) : c === 'memory' ? amount(others.memory_rss, 'bytes') : ''}</td>)}</tr>}
      {(unattributed.cpu_percent ?? 0) > 0.05 && <tr>{head.map((c) => <td key={c} class={classOf(c)}>{c === 'name' ? <span title={t('processes.unattributed.explain')}>{t('processes.unattributed')}</span> : c === 'cpu' ? value(unattributed) : ''}</td>)}</tr>}
    </>
  )
}

// Elsewhere: another machine's processes are on its own agent; here are its programs.
function Elsewhere() {
  return (
    <>
      <section class="moment"><p><strong>{t('processes.elsewhere', { host: hostName.value })}</strong><span>{t('processes.elsewhere.why')}</span></p>{remote.value?.url && <a class="plain" href={remote.value.url + pathOf({ host: '' })}>{t('processes.elsewhere.go')}</a>}</section>
      <div class="grid">{['process_cpu', 'process_memory', 'process_io', 'process_count'].map((id) => <PanelById key={id} id={id} />)}</div>
    </>
  )
}
