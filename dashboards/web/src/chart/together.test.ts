import { afterEach, describe, expect, it, vi } from 'vitest'
import { asked, type Panel } from '../panels'
import { askTogether, portions } from './together'

const panel = (id: string, queries: number): Panel => ({ id, title: id, explain: '', unit: 'count', draw: 'line', source: 'host', queries: Array.from({ length: queries }, (_, i) => ({ name: `${id}${i}`, expr: `${id}${i}` })) })

// answering stands in for the agent: each query returns one series named after it. The
// requests are returned.
function answering(refuse: (query: string) => boolean = () => false): string[] {
  const questions: string[] = []
  vi.stubGlobal('fetch', (_: string, init: { body: URLSearchParams }) => {
    const query = init.body.get('query') ?? ''
    questions.push(query)
    if (refuse(query)) return Promise.resolve(Response.json({ status: 'error', error: 'no' }, { status: 400 }))
    const result = [...query.matchAll(/label_replace\(\((\w+)\), "\w+", "([^"]+)"/g)].map(([, name, tag]) => ({ metric: { [asked]: tag, name }, values: [[8, '1']] }))
    return Promise.resolve(Response.json({ status: 'success', data: { resultType: 'matrix', result } }))
  })
  return questions
}

afterEach(() => { vi.unstubAllGlobals() })

const span = { from: 5, to: 8, step: 1, band: false }
const names = (series: { metric: Record<string, string> }[]) => series.map((s) => `${s.metric[asked]} ${s.metric.name}`)

describe('charts that poll together', () => {
  it('send one request and get their own series', async () => {
    const questions = answering()
    const answers = await Promise.all([askTogether(panel('a', 1), { host: 'h', window: 1 }, span), askTogether(panel('b', 2), { host: 'h', window: 1 }, span)])
    expect(questions).toHaveLength(1)
    expect(answers.map(names)).toEqual([['0 mean a0'], ['0 mean b0', '1 mean b1']])
  })
  it('send separate requests for different steps', async () => {
    const questions = answering()
    await Promise.all([askTogether(panel('a', 1), { host: 'h', window: 1 }, span), askTogether(panel('b', 1), { host: 'h', window: 1 }, { ...span, to: 9 }), askTogether(panel('c', 1), { host: 'i', window: 1 }, span)])
    expect(questions).toHaveLength(3)
  })
  it('retry one by one after a rejection', async () => {
    const questions = answering((query) => query.includes('bad'))
    const [good, bad] = await Promise.allSettled([askTogether(panel('a', 1), { host: 'h', window: 1 }, span), askTogether(panel('bad', 1), { host: 'h', window: 1 }, span)])
    expect(questions).toHaveLength(3)
    expect(good.status === 'fulfilled' && names(good.value)).toEqual(['0 mean a0'])
    expect(bad.status).toBe('rejected')
  })
  it('limit the length of an expression', () => {
    const all = [7, 5, 1, 20, 3].map((n, i) => ({ panel: panel(`p${i}`, n) }))
    expect(portions(all).map((some) => some.map((s) => s.panel.queries.length))).toEqual([[7, 5], [1], [20], [3]])
  })
})
