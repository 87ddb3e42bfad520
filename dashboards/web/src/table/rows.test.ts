import { describe, expect, test } from 'vitest'
import { arrange, byProgram, hold, matches, path, type Process, rowOf, Trails, type Wish } from './rows'

const process = (pid: number, change: Partial<Process> = {}): Process => ({
  pid, name: `p${pid}`, program: `p${pid}`, user: 'root', status: 'sleeping', kernel: false, parent_pid: 1,
  cpu_percent: 0, cpu_percent_core: 0, cpu_seconds: 0, memory_rss: 0, memory_percent: 0, num_threads: 1,
  read_bytes_per_sec: 0, write_bytes_per_sec: 0, started: '2026-01-01T00:00:00Z', ...change,
})
const wish: Wish = { sort: 'cpu', up: false, filter: '', kernel: false, grouped: false }

describe('rows', () => {
  test('the top ones come first, the unknown last, equals stay in order', () => {
    const table = [process(3), process(2), process(10, { cpu_percent_core: null }), process(7, { cpu_percent_core: 80 })]
    expect(arrange(table, wish).map((r) => r.pid)).toEqual([7, 2, 3, 10])
    expect(arrange(table, { ...wish, sort: 'pid', up: true }).map((r) => r.pid)).toEqual([2, 3, 7, 10])
  })
  test('kernel threads are hidden until they are wanted', () => {
    const table = [process(1), process(2, { kernel: true })]
    expect(arrange(table, wish)).toHaveLength(1)
    expect(arrange(table, { ...wish, kernel: true })).toHaveLength(2)
  })
  test('the filter finds names, programs, users and whole numbers', () => {
    const p = process(811, { name: 'Postgres', program: 'python3:manage.py', user: 'www-data', command_line: 'x --secret' })
    for (const found of ['postg', 'MANAGE', 'www', '811', ' 811 ', '--sec', '']) expect(matches(p, found), found).toBe(true)
    for (const not of ['81', 'nginx']) expect(matches(p, not), not).toBe(false)
  })
  test('programs add up what is known of their processes', () => {
    const [row] = byProgram([
      process(1, { program: 'a', cpu_percent_core: 50, memory_rss: 10, read_bytes_per_sec: null, started: '2026-01-02T00:00:00Z' }),
      process(2, { program: 'a', cpu_percent_core: 25, memory_rss: 5, read_bytes_per_sec: 7, user: 'me', status: 'running' }),
    ])
    expect(row).toMatchObject({ name: 'a', count: 2, pid: null, core: 75, memory: 15, read: 7, threads: 2, user: '…', status: 'running', started: Date.UTC(2026, 0, 1) / 1000 })
    expect(byProgram([process(1, { read_bytes_per_sec: null })])[0]?.read).toBeNull()
  })
  test('a process that takes the number of another is another row', () => {
    expect(rowOf(process(5)).key).not.toBe(rowOf(process(5, { started: '2026-01-01T00:00:01Z' })).key)
  })
  test('rows do not jump while they are held', () => {
    const before = [process(1), process(2)].map(rowOf)
    const now = arrange([process(3, { cpu_percent_core: 90 }), process(2, { cpu_percent_core: 40 })], wish)
    const held = hold(before.map((r) => r.key), now, new Map(before.map((r) => [r.key, r])))
    expect(held.map((h) => [h.row.pid, h.ended, h.row.core])).toEqual([[1, true, 0], [2, false, 40], [3, false, 90]])
  })
})

describe('trails', () => {
  test('keep the last looks, and holes for those before a process was there', () => {
    const trails = new Trails(3)
    trails.add([rowOf(process(1, { cpu_percent_core: 1 }))])
    trails.add([rowOf(process(1, { cpu_percent_core: 2 })), rowOf(process(2, { cpu_percent_core: 9 }))])
    expect(trails.of(rowOf(process(2)).key)).toEqual([null, 9])
    trails.add([rowOf(process(1, { cpu_percent_core: 3 }))])
    trails.add([rowOf(process(1, { cpu_percent_core: 4 }))])
    expect(trails.of(rowOf(process(1)).key)).toEqual([2, 3, 4])
    expect(trails.of(rowOf(process(2)).key)).toEqual([])
  })
  test('are drawn from the right, with holes', () => {
    expect(path([0, null, 10], 3, 20, 10)).toBe('M0.0 9.0M20.0 1.0')
    expect(path([], 3, 20, 10)).toBe('')
  })
})
