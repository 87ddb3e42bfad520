import { Failure } from '../api/client'
import { queryRange } from '../api/prometheus'
import type { Series } from '../frame'
import { asked, type Panel, question, readTag, type Variables } from '../panels'

// Charts that poll their newest step do so together: one request per reading for ten
// charts, painted in one frame.

interface Asking {
  panel: Panel
  answer: (series: Series[]) => void
  fail: (reason: unknown) => void
}

export interface Span {
  from: number
  to: number
  step: number
  band: boolean
}

// The maximum of queries in an expression: backends limit its length.
const maxQueries = 12

// waiting holds the queries of this moment, by what must be the same within a request.
const waiting = new Map<string, Asking[]>()

export function askTogether(panel: Panel, variables: Variables, span: Span): Promise<Series[]> {
  const key = JSON.stringify([variables, span])
  return new Promise((answer, fail) => {
    const others = waiting.get(key)
    if (others) {
      others.push({ panel, answer, fail })
      return
    }
    waiting.set(key, [{ panel, answer, fail }])
    queueMicrotask(() => {
      const all = waiting.get(key) ?? []
      waiting.delete(key)
      for (const some of portions(all)) void send(some, variables, span)
    })
  })
}

export function portions<T extends { panel: Panel }>(all: T[]): T[][] {
  const list: T[][] = []
  let room = 0
  for (const one of all) {
    const last = list.at(-1)
    if (last && one.panel.queries.length <= room) last.push(one)
    else {
      list.push([one])
      room = maxQueries
    }
    room -= one.panel.queries.length
  }
  return list
}

async function send(some: Asking[], variables: Variables, { from, to, step, band }: Span): Promise<void> {
  const queries = some.flatMap((s) => s.panel.queries)
  try {
    const { series } = await queryRange(question({ queries }, variables, band), from, to, step)
    let first = 0
    for (const { panel, answer } of some) {
      answer(ownOf(series, first, panel.queries.length))
      first += panel.queries.length
    }
  } catch (e) {
    // A rejected query must not fail the others.
    const apart = some.length > 1 && e instanceof Failure && e.kind === 'refused'
    for (const one of some) {
      if (apart) void send([one], variables, { from, to, step, band })
      else one.fail(e)
    }
  }
}

// ownOf returns the series of so many queries, numbered from the first of them.
export function ownOf(series: Series[], first: number, count: number): Series[] {
  return series.flatMap((s) => {
    const tag = readTag(s.metric[asked])
    if (!tag || tag.query < first || tag.query >= first + count) return []
    return [{ ...s, metric: { ...s.metric, [asked]: `${tag.query - first} ${tag.role}` } }]
  })
}
