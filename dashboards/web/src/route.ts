import { inside } from './base'
import { parseShift, writeShift } from './compare'
import { isLive, type Preset, parseMoment, presets, type Range, writeMoment } from './time'

// The address holds everything that decides what a page shows, so that a link shows
// others the same.

export const pages = ['overview', 'processes', 'alerts', 'hosts', 'settings'] as const
export type Page = (typeof pages)[number]

export interface View {
  page: Page
  range: Range
  // host is the machine shown, '' for the agent's own.
  host: string
  // at is the time of the process table.
  at: number | null
  // compare is the shift to the time that charts are compared with, 0 for none.
  compare: number
  // own are parameters of one page, such as the order of its table.
  own: Record<string, string>
}

export const usual: Preset = '1h'
const shared = ['range', 'from', 'to', 'host', 'at', 'compare']

export function parseView(url: URL): View {
  const name = inside(url.pathname).replace(/^\/|\/$/g, '')
  const page = pages.find((p) => p === name) ?? 'overview'
  const query = url.searchParams
  const from = parseMoment(query.get('from'))
  const to = parseMoment(query.get('to'))
  const preset = presets.find((p) => p === query.get('range')) ?? usual
  const own: Record<string, string> = {}
  for (const [key, value] of query) if (!shared.includes(key)) own[key] = value
  return {
    page,
    range: from !== null && to !== null && to > from ? { from, to } : { preset },
    host: query.get('host') ?? '',
    at: parseMoment(query.get('at')),
    compare: parseShift(query.get('compare')) ?? 0,
    own,
  }
}

// misread lists the parameters of an address that say no time and no range: a bad link is
// not mended without a word.
export function misread(url: URL): string[] {
  const query = url.searchParams
  const isTime = (name: string) => !query.has(name) || parseMoment(query.get(name)) !== null
  const wrong = ['from', 'to', 'at'].filter((name) => !isTime(name))
  if (wrong.length === 0 && (query.has('from') || query.has('to'))) {
    const [from, to] = [parseMoment(query.get('from')), parseMoment(query.get('to'))]
    if (from === null || to === null || to <= from) wrong.push('from', 'to')
  }
  if (query.has('range') && !presets.some((p) => p === query.get('range'))) wrong.push('range')
  if (parseShift(query.get('compare')) === null) wrong.push('compare')
  return wrong.map((name) => `${name}=${query.get(name) ?? ''}`)
}

// writeView returns the address of a view below the root of an agent.
export function writeView(view: View): string {
  const query = new URLSearchParams()
  if (!isLive(view.range)) {
    query.set('from', writeMoment(view.range.from))
    query.set('to', writeMoment(view.range.to))
  } else if (view.range.preset !== usual) {
    query.set('range', view.range.preset)
  }
  if (view.at !== null) query.set('at', writeMoment(view.at))
  if (view.compare > 0) query.set('compare', writeShift(view.compare))
  if (view.host) query.set('host', view.host)
  for (const [key, value] of Object.entries(view.own)) if (value !== '') query.set(key, value)
  // Colons need no escape in a query, and RFC 3339 is easier to read without.
  const text = query.toString().replaceAll('%3A', ':')
  return (view.page === 'overview' ? '/' : `/${view.page}`) + (text ? `?${text}` : '')
}
