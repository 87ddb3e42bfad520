import type { components } from '../api/schema'

// The rows of the process table: order, filter and grouping by program, all pure.

type Schemas = components['schemas']
export type Process = Schemas['ProcessRow']
export type Table = Schemas['Processes']

// A row is one process, or all processes of one program.
export interface Row {
  key: string
  name: string
  pid: number | null
  // count is the number of processes in the row.
  count: number
  user: string
  status: string
  kernel: boolean
  machine: number | null
  core: number | null
  seconds: number | null
  memory: number | null
  memoryShare: number | null
  peak: number | null
  read: number | null
  write: number | null
  threads: number
  started: number | null
  // members are the processes in the row.
  members: Process[]
}

export const columns = ['name', 'pid', 'user', 'status', 'cpu', 'seconds', 'memory', 'peak', 'read', 'write', 'threads', 'started'] as const
export type Column = (typeof columns)[number]

// The key distinguishes processes that reuse a PID.
const keyOf = (p: Process): string => `${p.pid} ${p.started ?? ''}`

export function rowOf(p: Process): Row {
  return {
    key: keyOf(p), name: p.name, pid: p.pid, count: 1, user: p.user, status: p.status, kernel: p.kernel,
    machine: p.cpu_percent, core: p.cpu_percent_core, seconds: p.cpu_seconds,
    memory: p.memory_rss, memoryShare: p.memory_percent, peak: p.memory_peak ?? null,
    read: p.read_bytes ?? p.read_bytes_per_sec, write: p.write_bytes ?? p.write_bytes_per_sec,
    threads: p.num_threads, started: p.started === null ? null : Date.parse(p.started) / 1000, members: [p],
  }
}

// Unknown is not zero: a sum ignores unknown parts.
const add = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : a + b)

function merge(into: Row, row: Row): Row {
  return {
    ...into,
    pid: null, count: into.count + 1,
    user: into.user === row.user ? into.user : '…',
    status: into.status === row.status || row.status !== 'running' ? into.status : row.status,
    machine: add(into.machine, row.machine), core: add(into.core, row.core), seconds: add(into.seconds, row.seconds),
    memory: add(into.memory, row.memory), memoryShare: add(into.memoryShare, row.memoryShare), peak: add(into.peak, row.peak),
    read: add(into.read, row.read), write: add(into.write, row.write), threads: into.threads + row.threads,
    started: into.started === null || row.started === null ? into.started ?? row.started : Math.min(into.started, row.started),
    members: [...into.members, ...row.members],
  }
}

export function byProgram(processes: Process[]): Row[] {
  const programs = new Map<string, Row>()
  for (const p of processes) {
    const row = { ...rowOf(p), key: `program ${p.program}`, name: p.program }
    const known = programs.get(p.program)
    programs.set(p.program, known ? merge(known, row) : row)
  }
  return [...programs.values()]
}

export interface Wish {
  sort: Column
  up: boolean
  filter: string
  kernel: boolean
  grouped: boolean
}

// matches applies the filter like /api/v1/metrics/processes: part of a name, program,
// user or command line, or a whole PID.
export function matches(p: Process, filter: string): boolean {
  const wanted = filter.trim().toLowerCase()
  return wanted === '' || String(p.pid) === wanted || [p.name, p.program, p.user, p.command_line ?? ''].some((s) => s.toLowerCase().includes(wanted))
}

const collator = new Intl.Collator('en', { numeric: true })

function compare(a: Row, b: Row, column: Column): number {
  switch (column) {
    case 'name': return collator.compare(a.name, b.name)
    case 'user': return collator.compare(a.user, b.user)
    case 'status': return collator.compare(a.status, b.status)
    case 'cpu': return number(a.core, b.core)
    default: return number(a[column], b[column])
  }
}

// Unknown numbers sort as the lowest.
const number = (a: number | null, b: number | null): number => (a ?? -Infinity) - (b ?? -Infinity) || 0

// Text and PIDs sort ascending by default, amounts descending.
export const startsUp = (column: Column): boolean => column === 'name' || column === 'pid' || column === 'user' || column === 'status'

export function arrange(processes: Process[], wish: Wish): Row[] {
  const wanted = processes.filter((p) => (wish.kernel || !p.kernel) && matches(p, wish.filter))
  const rows = wish.grouped ? byProgram(wanted) : wanted.map(rowOf)
  const direction = wish.up ? 1 : -1
  return rows.sort((a, b) => direction * compare(a, b, wish.sort) || collator.compare(a.key, b.key))
}

// hold keeps the order of rows while the pointer is on them: known rows keep their place
// with new values, exited ones are marked, new ones come last.
export function hold(order: string[], rows: Row[], before: Map<string, Row>): { row: Row; ended: boolean }[] {
  const found = new Map(rows.map((r) => [r.key, r]))
  const held = order.flatMap((key) => {
    const row = found.get(key) ?? before.get(key)
    return row ? [{ row, ended: !found.has(key) }] : []
  })
  const known = new Set(order)
  return [...held, ...rows.filter((r) => !known.has(r.key)).map((row) => ({ row, ended: false }))]
}

// Trails are the CPU usage of rows in the last minutes.
export class Trails {
  private readonly trails = new Map<string, (number | null)[]>()
  private looks = 0

  constructor(private readonly length: number) {}

  add(rows: Row[]): void {
    this.looks++
    const seen = new Set<string>()
    for (const row of rows) {
      seen.add(row.key)
      const trail = this.trails.get(row.key) ?? Array<number | null>(Math.min(this.looks - 1, this.length)).fill(null)
      trail.push(row.core)
      if (trail.length > this.length) trail.shift()
      this.trails.set(row.key, trail)
    }
    for (const key of this.trails.keys()) if (!seen.has(key)) this.trails.delete(key)
  }

  of(key: string): (number | null)[] {
    return this.trails.get(key) ?? []
  }
}

// path draws a trail into a box, the newest value at the right. Unknown values leave a
// hole. The scale is at least one tenth of a processor, so that idle looks idle.
export function path(trail: (number | null)[], length: number, width: number, height: number): string {
  const top = Math.max(10, ...trail.map((v) => v ?? 0))
  const step = width / (length - 1)
  let pen = 'M'
  let d = ''
  trail.forEach((v, i) => {
    if (v === null) {
      pen = 'M'
      return
    }
    d += `${pen}${(width - (trail.length - 1 - i) * step).toFixed(1)} ${(height - 1 - (v / top) * (height - 2)).toFixed(1)}`
    pen = 'L'
  })
  return d
}
