import { expect, it } from 'vitest'
import { buildFrame, type Series } from '../frame'
import { asked, type Panel } from '../panels'
import { csvOf, fileName } from './csv'
import { canBeLog, decades, logRange } from './options'

const panel: Panel = { id: 'p', title: 'P', explain: '', unit: 'ratio', draw: 'line', source: 'host', queries: [{ name: '{{cpu}}', expr: 'x' }] }
const series = (role: string, cpu: string, ...values: [number, string][]): Series => ({ metric: { [asked]: `0 ${role}`, cpu }, values })

it('has a row for each time and a column for each line', () => {
  const frame = buildFrame(panel, [series('mean', 'a', [1, '0.25'], [3, '1e-7']), series('min', 'a', [1, '0']), series('max', 'a', [1, '0.5']), series('mean', 'b', [2, '1'])], 1, 3, 1)
  expect(csvOf(panel, frame, frame.lines)).toBe('time,a (ratio),a min (ratio),a max (ratio),b (ratio)\r\n1970-01-01T00:00:01Z,0.25,0,0.5,\r\n1970-01-01T00:00:02Z,,,,1\r\n1970-01-01T00:00:03Z,1e-7,,,\r\n')
})

it('has the earlier values', () => {
  const frame = buildFrame(panel, [series('mean', 'a', [1, '1'])], 1, 1, 1)
  const was = { cells: new Map([[frame.lines[0]!.key, [0.5]]]), text: '1 day earlier' }
  expect(csvOf(panel, frame, frame.lines, was)).toBe('time,a (ratio),"a, 1 day earlier (ratio)"\r\n1970-01-01T00:00:01Z,1,0.5\r\n')
})

it('keeps hostile names text', () => {
  const frame = buildFrame(panel, [series('mean', '=cmd|"/c calc"!A1', [1, '1']), series('mean', 'a\nb', [1, '-2'])], 1, 1, 1)
  const [head, ...rest] = csvOf(panel, frame, frame.lines).split('\r\n')
  expect(head).toContain(`"'=cmd|""/c calc""!A1 (ratio)"`)
  expect(rest.join()).toContain('-2')
})

it('has a safe name', () => { expect(fileName('a/b "c"', 'cpu', 0.5, 'csv')).toBe('sysotel_a-b-c-_cpu_1970-01-01T00-00-00Z.csv') })

it('has whole powers of ten on a logarithmic axis', () => {
  expect(logRange(0.0002, 0.03)).toEqual([0.0001, 0.1])
  expect(logRange(0.001, 0.001)).toEqual([0.0001, 0.001])
  expect(logRange(1e-12, 1)).toEqual([1e-6, 1])
  expect(logRange(null, null)).toEqual([0.001, 1])
  expect(decades(0.001, 1)).toEqual([0.001, 0.01, 0.1, 1])
  expect(canBeLog(panel)).toBe(false)
  expect(canBeLog({ ...panel, unit: 'seconds' })).toBe(true)
})
