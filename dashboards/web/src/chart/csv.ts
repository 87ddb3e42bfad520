import type { Cell, Frame, Line } from '../frame'
import type { Panel } from '../panels'
import { writeMoment } from '../time'

// csvOf writes what a chart shows as CSV: a row for each time, a column for each line, with
// its minimum and maximum where they are drawn and the earlier value where it is compared.
// Values are in the panel's unit, which stands in the heading; unknown ones are empty.
export function csvOf(panel: Panel, frame: Frame, lines: Line[], was?: { cells: Map<string, Cell[]>; text: string }): string {
  const unit = panel.unit === 'none' || panel.unit === 'count' ? '' : ` (${panel.unit})`
  const columns: [string, Cell[]][] = lines.flatMap((line) => {
    const all: [string, Cell[]][] = [[line.name + unit, line.mean]]
    if (line.min && line.max) all.push([`${line.name} min${unit}`, line.min], [`${line.name} max${unit}`, line.max])
    const before = was?.cells.get(line.key)
    if (was && before) all.push([`${line.name}, ${was.text}${unit}`, before])
    return all
  })
  const rows = frame.times.map((at, i) => [writeMoment(at), ...columns.map(([, cells]) => (cells[i] == null ? '' : String(cells[i])))])
  return [['time', ...columns.map(([name]) => plain(name))], ...rows].map((row) => row.join(',') + '\r\n').join('')
}

// plain is a text of the machine as a cell: names are hostile, and a spreadsheet computes
// what begins like a formula.
function plain(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

// fileName is the name of a saved chart.
export const fileName = (host: string, panel: string, from: number, extension: string): string =>
  `${['sysotel', host, panel, writeMoment(Math.floor(from))].map((part) => part.replace(/[^\w.-]+/g, '-')).join('_')}.${extension}`
