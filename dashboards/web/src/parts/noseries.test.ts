import { afterAll, beforeAll, expect, it, vi } from 'vitest'

type Module = typeof import('./noseries')
let askNoSeries: Module['askNoSeries']
let whyNoSeries: Module['whyNoSeries']

beforeAll(async () => {
  vi.stubGlobal('navigator', { language: 'en' });
  ({ askNoSeries, whyNoSeries } = await import('./noseries'))
})
afterAll(() => { vi.unstubAllGlobals() })

it('says why a selector matches nothing', () => {
  expect(whyNoSeries({ selector: 'node_lod1', reason: 'unknown_metric', nearest: 'node_load1' })).toBe('no metric has that name; the nearest is node_load1')
  expect(whyNoSeries({ selector: 'node_load1{job="x"}', reason: 'unknown_label', label: 'job' })).toBe('the metric has no label job')
  expect(whyNoSeries({ selector: 'zfs_arc', reason: 'not_measured' })).toBe('not measured on this machine')
})

it('knows a reason of a newer agent as one that it does not know', () => {
  expect(whyNoSeries({ selector: 'x', reason: 'moon' as 'no_match' })).toBe('no series has all these labels')
})

it('asks the preview what an empty chart lacks, and nothing is no failure', async () => {
  const missing = [{ selector: 'x', reason: 'not_measured' }]
  const asked: string[] = []
  vi.stubGlobal('fetch', (path: string, init: { body: string }) => {
    asked.push(`${path} ${init.body}`)
    return Promise.resolve(new Response(JSON.stringify({ no_series: missing }), { headers: { 'Content-Type': 'application/json' } }))
  })
  expect(await askNoSeries('x > 1', 10.5, 20.5, new AbortController().signal)).toEqual(missing)
  expect(asked[0]).toContain('alerts/preview {"expr":"x > 1","start":"10","end":"21"}')
  vi.stubGlobal('fetch', () => Promise.reject(new Error('gone')))
  expect(await askNoSeries('x > 1', 10, 20, new AbortController().signal)).toEqual([])
})
