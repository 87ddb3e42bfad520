import type { Series } from '../frame'
import { ask } from './client'

// PromQL queries, by POST: an expression can be longer than an address may be.

interface Body<T> {
  data: { result: T[] }
  warnings?: string[]
  infos?: string[]
}

export interface Range {
  series: Series[]
  // tier is the resolution that answered, '' if unknown.
  tier: string
  // warnings and infos are what the answer cannot tell.
  warnings: string[]
  infos: string[]
}

export async function queryRange(query: string, start: number, end: number, step: number, signal?: AbortSignal): Promise<Range> {
  const form = new URLSearchParams({ query, start: String(start), end: String(end), step: String(step) })
  const { body, headers } = await ask<Body<Series>>('/prometheus/api/v1/query_range', signal ? { form, signal } : { form })
  return { series: body.data.result, tier: headers.get('X-Sysotel-Tier') ?? '', warnings: plain(body.warnings), infos: plain(body.infos) }
}

// plain is without what Prometheus puts before each of its notes.
const plain = (notes: string[] | undefined): string[] => (notes ?? []).map((note) => note.replace(/^PromQL (warning|info): /, ''))

export interface Instant {
  metric: Record<string, string>
  value: [number, string]
}

export async function query(expr: string, time: number, signal?: AbortSignal): Promise<Instant[]> {
  const form = new URLSearchParams({ query: expr, time: String(time) })
  return (await ask<Body<Instant>>('/prometheus/api/v1/query', signal ? { form, signal } : { form })).body.data.result
}
