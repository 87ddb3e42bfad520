import { base, inside } from '../base'
import type { components, paths } from './schema'

// All requests to the agent go through here, so that failures are handled alike.

type Schemas = components['schemas']
export type Current = Schemas['Current']
export type Event = Schemas['Event']
export type Health = Schemas['Health']
export type Alert = Schemas['Alert']

// The kinds of failed requests.
export type Kind = 'offline' | 'login' | 'forbidden' | 'busy' | 'refused' | 'broken'

export class Failure extends Error {
  constructor(
    readonly kind: Kind,
    // The agent's own error message, '' if none.
    readonly detail: string,
    readonly status = 0,
    // Seconds to wait before a retry, 0 if unknown.
    readonly after = 0,
  ) {
    super(detail || kind)
  }
}

export interface Question {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  body?: unknown
  form?: URLSearchParams
  signal?: AbortSignal
}

export interface Answer<T> {
  body: T
  headers: Headers
}

// The timeout of a request, in milliseconds.
const patience = 30_000

async function send(path: string, q: Question): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json' }
  if (q.body !== undefined) headers['Content-Type'] = 'application/json'
  const limit = AbortSignal.timeout(patience)
  try {
    return await fetch(base + path, {
      method: q.method ?? (q.body === undefined && !q.form ? 'GET' : 'POST'),
      headers,
      body: q.form ?? (q.body === undefined ? null : JSON.stringify(q.body)),
      signal: q.signal ? AbortSignal.any([q.signal, limit]) : limit,
    })
  } catch (e) {
    if (q.signal?.aborted) throw e
    throw new Failure('offline', '')
  }
}

// A session outlives its access token: one refresh serves all requests that were
// refused at the same time, in all tabs, which share the session's cookies. The lock
// and what happens in it are those of the login page (api/login_pages/ask.js).
let renewing: Promise<boolean> | null = null

// renew reports whether the session lives, after a refresh if it takes one.
export function renew(): Promise<boolean> {
  renewing ??= alone(async () => {
    if (await isLoggedIn()) return true // Another tab was first.
    const { ok, status } = await send('/api/v1/auth/refresh', { body: { cookie: true } })
    if (status !== 409) return ok
    await new Promise((resolve) => setTimeout(resolve, 1000)) // The new cookies are on their way to another tab.
    return isLoggedIn()
  }).catch(() => false).finally(() => { renewing = null })
  return renewing
}

// Browsers offer locks over TLS and on loopback.
const alone = async (work: () => Promise<boolean>): Promise<boolean> =>
  'locks' in navigator ? await navigator.locks.request('sysotel-refresh', work) : work()

async function whoAmI(): Promise<Partial<Schemas['Me']>> {
  const r = await send('/api/v1/auth/me', {})
  return r.ok ? ((await r.json()) as Schemas['Me']) : {}
}

const isLoggedIn = async (): Promise<boolean> => ['user', 'proxy'].includes((await whoAmI()).kind ?? '')

// hasExpired reports whether a request may be refused only because the access token
// has expired. Where nobody needs a login, that makes the user a viewer again.
async function hasExpired(status: number): Promise<boolean> {
  return status === 401 || status === 403 && (await whoAmI().catch(() => null))?.can_refresh === true
}

// loginPage is the address of the login page, which leads back here.
export const loginPage = (): string => base + '/login?next=' + encodeURIComponent(inside(location.pathname) + location.search)

export function goToLogin(): void {
  location.assign(loginPage())
}

// ask sends a request. It throws a Failure, or the AbortError of the caller's signal.
export async function ask<T>(path: string, q: Question = {}): Promise<Answer<T>> {
  let response = await send(path, q)
  if (await hasExpired(response.status) && await renew()) response = await send(path, q)
  if (response.status === 401) {
    goToLogin()
    throw new Failure('login', '', 401)
  }
  if (response.ok) {
    if (response.status === 204) return { body: undefined as T, headers: response.headers }
    try {
      return { body: (await response.json()) as T, headers: response.headers }
    } catch (e) {
      // A truncated response, or not JSON.
      if (q.signal?.aborted) throw e
      throw new Failure('broken', '', response.status)
    }
  }
  throw await failureOf(response)
}

// failureOf reads an error response: a problem of RFC 9457, an error of Prometheus,
// or nothing.
async function failureOf(response: Response): Promise<Failure> {
  const problem = (await response.json().catch(() => ({}))) as { detail?: string; error?: string; errors?: { location?: string; message?: string }[] }
  const where = (problem.errors ?? []).map((e) => `${e.location ?? ''} ${e.message ?? ''}`.trim()).join('; ')
  const detail = [problem.detail ?? problem.error ?? '', where].filter(Boolean).join(' ')
  const after = Number(response.headers.get('Retry-After')) || 0
  switch (response.status) {
    case 403:
      return new Failure('forbidden', detail, 403)
    case 429:
    case 503:
      return new Failure('busy', detail, response.status, after || 5)
    default:
      return new Failure(response.status >= 500 ? 'broken' : 'refused', detail, response.status, after)
  }
}

type Gets = { [P in keyof paths]: paths[P] extends { get: { responses: { 200: { content: { 'application/json': infer B } } } } } ? B : never }
type Query<P extends keyof paths> = paths[P] extends { get: { parameters: { query?: infer Q } } } ? Q : never

// get requests a document that is in the OpenAPI description.
export async function get<P extends keyof Gets>(path: P, query?: Query<P>, signal?: AbortSignal): Promise<Gets[P]> {
  const text = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const v of Array.isArray(value) ? value : [value]) if (v !== undefined && v !== null) text.append(name, String(v))
  }
  const q = text.toString()
  return (await ask<Gets[P]>(q ? `${path}?${q}` : path, signal ? { signal } : {})).body
}
