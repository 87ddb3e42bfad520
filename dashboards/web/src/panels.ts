import list from '../../panels.json'
import type { Unit } from './units'

// The panels are told in dashboards/panels.json, for these pages and for the
// boards of Grafana alike.

export type Draw = 'line' | 'area' | 'stack' | 'mirror' | 'bars' | 'stat' | 'table'

export interface Query {
  name: string
  // A word of the palette, for one series.
  color?: string
  // The values of the one label in the name, in the order they are drawn.
  values?: string[]
  // Drawn below zero, in a mirrored chart.
  below?: boolean
  expr: string
  min?: string
  max?: string
}

export interface Panel {
  id: string
  title: string
  explain: string
  unit: Unit
  draw: Draw
  max?: number
  // Where nothing happens there is nothing to measure: a hole is no missed reading.
  sparse?: boolean
  source: 'host' | 'prometheus'
  queries: Query[]
}

export interface Board {
  id: string
  title: string
  panels: string[]
}

const file = list as unknown as { palette: Record<string, string>; boards: Board[]; panels: Panel[] }

// palette is the colour of each word that queries use.
export const palette = file.palette

// Only what an agent knows itself can be shown here.
export const panels = new Map(file.panels.filter((p) => p.source === 'host').map((p) => [p.id, p]))
// isInstant tells which panels show the newest value alone.
export const isInstant = (panel: Panel): boolean => panel.draw === 'stat' || panel.draw === 'bars' || panel.draw === 'table'

export const boards = file.boards.map((b) => ({ ...b, panels: b.panels.filter((id) => panels.has(id)) })).filter((b) => b.panels.length > 0)

export interface Variables {
  host: string
  // window is the time that one point stands for, in seconds.
  window: number
}

// expand puts values in for the variables of an expression. A host's name is
// hostile: it stands inside of quotes and must not end them.
export function expand(expr: string, variables: Variables): string {
  return expr.replace(/\$\{?(host|window|rate_window|device|interface|mountpoint)\}?/g, (_, name: string) => {
    switch (name) {
      case 'host':
        return quoteInside(variables.host)
      case 'window':
      case 'rate_window':
        return `${variables.window}s`
      default:
        return '.*'
    }
  })
}

const quoteInside = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

export type Role = 'mean' | 'least' | 'most'

// The label that tells which query of a panel a series answers.
export const asked = 'sysotel_asked'

// question is one PromQL expression for all queries of a panel, so that a chart
// costs one request: each answer carries which query it belongs to.
export function question(panel: Pick<Panel, 'queries'>, variables: Variables, band: boolean): string {
  const parts: string[] = []
  panel.queries.forEach((q, i) => {
    parts.push(tagged(q.expr, `${i} mean`))
    if (band && q.min && q.max) parts.push(tagged(q.min, `${i} least`), tagged(q.max, `${i} most`))
  })
  return expand(parts.join(' or '), variables)
}

const tagged = (expr: string, tag: string): string => `label_replace((${expr}), "${asked}", "${tag}", "", "")`

// readTag is which query and which role a series answers.
export function readTag(tag: string | undefined): { query: number; role: Role } | null {
  const m = /^(\d+) (mean|least|most)$/.exec(tag ?? '')
  return m ? { query: Number(m[1]), role: m[2] as Role } : null
}

// labelOf is the label whose value stands in a query's name, '' where none does.
export const labelOf = (query: Query): string => /\{\{\s*(\w+)\s*\}\}/.exec(query.name)?.[1] ?? ''

// colorWord is the palette's word for a series, and its place among the values
// that the query lists; a series that is not listed comes after them.
export function colorWord(query: Query, labels: Record<string, string>): { word: string | undefined; place: number } {
  if (query.color) return { word: query.color, place: 0 }
  const value = labels[labelOf(query)]
  const place = value === undefined ? -1 : (query.values ?? []).indexOf(value)
  return place < 0 ? { word: undefined, place: (query.values ?? []).length } : { word: value, place }
}

// seriesName is a query's name with the labels of a series in it. Where nothing
// of it is left, as for a total, the labels themselves tell.
export function seriesName(query: Query, labels: Record<string, string>): string {
  const name = query.name.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? '').replace(/\s+/g, ' ').trim()
  return name || Object.values(labels).filter(Boolean).join(' ') || query.name
}
