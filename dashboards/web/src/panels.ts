import { list, type Panel, type Query } from './panels.generated'

// The panels come from dashboards/panels.json, as Grafana's boards do.

export type { Draw, Panel, Query } from './panels.generated'

// palette maps the color words of queries to Grafana's colors.
export const palette = list.palette

// Only panels whose queries the agent can answer are shown.
export const panels = new Map(list.panels.filter((p) => p.source === 'host').map((p) => [p.id, p]))
// isInstant reports whether a panel shows only the newest value.
export const isInstant = (panel: Panel): boolean => panel.draw === 'stat' || panel.draw === 'bars' || panel.draw === 'table'

export const boards = list.boards.map((b) => ({ ...b, panels: b.panels.filter((id) => panels.has(id)) })).filter((b) => b.panels.length > 0)

export interface Variables {
  host: string
  // window is the time that one point covers, in seconds.
  window: number
}

// expand replaces the variables of an expression. A host name is hostile: it must not
// end the quotes around it.
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

export type Role = 'mean' | 'min' | 'max'

// The label that says which query of a panel a series belongs to.
export const asked = 'sysotel_asked'

// question joins all queries of a panel into one PromQL expression, so that a chart costs
// one request; each series is tagged with its query.
export function question(panel: Pick<Panel, 'queries'>, variables: Variables, band: boolean): string {
  const parts: string[] = []
  panel.queries.forEach((q, i) => {
    parts.push(tagged(q.expr, `${i} mean`))
    if (band && q.min && q.max) parts.push(tagged(q.min, `${i} min`), tagged(q.max, `${i} max`))
  })
  return expand(parts.join(' or '), variables)
}

const tagged = (expr: string, tag: string): string => `label_replace((${expr}), "${asked}", "${tag}", "", "")`

// readTag parses the query and role of a series.
export function readTag(tag: string | undefined): { query: number; role: Role } | null {
  const m = /^(\d+) (mean|min|max)$/.exec(tag ?? '')
  return m ? { query: Number(m[1]), role: m[2] as Role } : null
}

// labelOf returns the label in a query's name, '' if there is none.
export const labelOf = (query: Query): string => /\{\{\s*(\w+)\s*\}\}/.exec(query.name)?.[1] ?? ''

// colorWord returns a series' color word, and its place in the query's list of values;
// unlisted series come last.
export function colorWord(query: Query, labels: Record<string, string>): { word: string | undefined; place: number } {
  if (query.color) return { word: query.color, place: 0 }
  const value = labels[labelOf(query)]
  const place = value === undefined ? -1 : (query.values ?? []).indexOf(value)
  return place < 0 ? { word: undefined, place: (query.values ?? []).length } : { word: value, place }
}

// seriesName fills a query's name with the series' labels. If nothing is left, it is
// the labels themselves.
export function seriesName(query: Query, labels: Record<string, string>): string {
  const name = query.name.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? '').replace(/\s+/g, ' ').trim()
  return name || Object.values(labels).filter(Boolean).join(' ') || query.name
}

// rankOf returns the column of the process table that a panel is about.
export function rankOf(panel: Pick<Panel, 'queries'>): 'cpu' | 'memory' | 'read' | 'write' {
  const text = panel.queries.map((q) => q.expr).join(' ')
  if (/_(memory|swap|paging)_|resource="memory"/.test(text)) return 'memory'
  if (!/_disk_|resource="io"/.test(text)) return 'cpu'
  return /direction="read"/.test(text) && !/direction="write"/.test(text) ? 'read' : 'write'
}
