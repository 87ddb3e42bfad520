import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ask, Failure } from './client'

const answers = (...list: (Response | Error)[]) => {
  const calls: string[] = []
  vi.stubGlobal('fetch', (path: string) => {
    calls.push(path)
    const next = list.shift()
    return next instanceof Response ? Promise.resolve(next) : Promise.reject(next ?? new Error('asked too often'))
  })
  return calls
}
const json = (status: number, body: unknown, headers: Record<string, string> = {}) => new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ...headers } })
const failure = async (p: Promise<unknown>): Promise<Failure> => {
  const e: unknown = await p.then(() => null, (e: unknown) => e)
  if (!(e instanceof Failure)) throw new Error(`no failure but ${String(e)}`)
  return e
}

beforeEach(() => { vi.stubGlobal('navigator', {}) })
afterEach(() => { vi.unstubAllGlobals() })

describe('ask', () => {
  it('returns the response', async () => {
    answers(json(200, { a: 1 }))
    expect((await ask('/x')).body).toEqual({ a: 1 })
  })
  it.each<[string, Response | Error, Partial<Failure>]>([
    ['nobody', new TypeError('fetch failed'), { kind: 'offline' }],
    ['half an answer', new Response('{"a":', { status: 200 }), { kind: 'broken' }],
    ['a page of a proxy', new Response('<html>', { status: 502 }), { kind: 'broken', status: 502, detail: '' }],
    ['500', json(500, { detail: 'Internal error; see the agent log.' }), { kind: 'broken', detail: 'Internal error; see the agent log.' }],
    ['429', json(429, { detail: 'too many' }, { 'Retry-After': '7' }), { kind: 'busy', after: 7, detail: 'too many' }],
    ['503 without a time', json(503, {}), { kind: 'busy', after: 5 }],
    ['403', json(403, { detail: 'no' }), { kind: 'forbidden', detail: 'no' }],
    ['422', json(422, { detail: 'wrong.', errors: [{ location: 'query.top', message: 'must be 1' }] }), { kind: 'refused', detail: 'wrong. query.top must be 1' }],
    ['an error of Prometheus', json(400, { status: 'error', errorType: 'bad_data', error: 'parse error' }), { kind: 'refused', detail: 'parse error' }],
  ])('says what %s means', async (_, answer, want) => {
    answers(answer)
    expect(await failure(ask('/x'))).toMatchObject(want)
  })
  it('refreshes an expired session', async () => {
    const calls = answers(json(401, {}), json(401, {}), json(200, {}), json(200, { a: 1 }))
    expect((await ask('/x')).body).toEqual({ a: 1 })
    expect(calls).toEqual(['/x', '/api/v1/auth/me', '/api/v1/auth/refresh', '/x'])
  })
  it('uses the session that another tab refreshed', async () => {
    const calls = answers(json(401, {}), json(200, { kind: 'user' }), json(200, { a: 1 }))
    expect((await ask('/x')).body).toEqual({ a: 1 })
    expect(calls).toEqual(['/x', '/api/v1/auth/me', '/x'])
  })
  it('waits for the cookies of a refresh that has just been', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] })
    const calls = answers(json(401, {}), json(401, {}), json(409, {}), json(200, { kind: 'user' }), json(200, { a: 1 }))
    const answer = ask('/x')
    await vi.waitFor(() => { expect(vi.getTimerCount()).toBe(1) })
    vi.advanceTimersByTime(1000)
    expect((await answer).body).toEqual({ a: 1 })
    expect(calls.slice(2)).toEqual(['/api/v1/auth/refresh', '/api/v1/auth/me', '/x'])
    vi.useRealTimers()
  })
  it('refreshes a session where nobody needs a login', async () => {
    const calls = answers(json(403, {}), json(200, { kind: 'local', can_refresh: true }), json(200, { kind: 'local', can_refresh: true }), json(200, {}), json(200, { a: 1 }))
    expect((await ask('/x')).body).toEqual({ a: 1 })
    expect(calls.slice(3)).toEqual(['/api/v1/auth/refresh', '/x'])
  })
  it('leads to the login page and back without a session', async () => {
    const went: string[] = []
    vi.stubGlobal('location', { assign: (to: string) => { went.push(to) }, pathname: '/alerts', search: '?range=6h' })
    answers(json(401, {}), json(401, {}), json(401, {}))
    expect((await failure(ask('/x'))).kind).toBe('login')
    expect(went).toEqual(['/login?next=%2Falerts%3Frange%3D6h'])
  })
  it('rethrows the caller\'s abort', async () => {
    const stop = new AbortController()
    stop.abort()
    answers(stop.signal.reason as Error)
    await expect(ask('/x', { signal: stop.signal })).rejects.not.toBeInstanceOf(Failure)
  })
})
