import { colorWord, palette, type Panel } from './panels'

// Okabe and Ito's eight colors, safe for color blindness, in a shade for dark and one for
// light pages, each with enough contrast.

export type Shade = 'dark' | 'light'

const hues = {
  blue: { from: '#0072B2', dark: '#4aa3e8', light: '#0072b2' },
  orange: { from: '#E69F00', dark: '#f0a92e', light: '#c57a00' },
  green: { from: '#009E73', dark: '#1fbf92', light: '#008f68' },
  purple: { from: '#CC79A7', dark: '#df8fbd', light: '#b5568b' },
  red: { from: '#D55E00', dark: '#f07b3f', light: '#d55e00' },
  sky: { from: '#56B4E9', dark: '#8fd0f5', light: '#3596cf' },
  yellow: { from: '#F0E442', dark: '#f0e05a', light: '#9d8a00' },
  grey: { from: '#999999', dark: '#7d8893', light: '#7d8893' },
} as const

export type Hue = keyof typeof hues

const order: Hue[] = ['blue', 'orange', 'green', 'purple', 'red', 'sky', 'yellow', 'grey']

export const shadeOf = (hue: Hue, shade: Shade): string => hues[hue][shade]

export const colorAt = (i: number, shade: Shade): string => hues[order[i % order.length]!][shade]

// colorOf returns the color of a palette word: the same thing has the same color on
// every chart.
function colorOf(word: string, shade: Shade): string | null {
  const wanted = palette[word]?.toUpperCase()
  const hue = order.find((h) => hues[h].from === wanted)
  return hue ? hues[hue][shade] : null
}

// lineColors returns the colors of a panel's lines: those of their words, and for the
// rest the next unused ones.
export function lineColors(panel: Panel, lines: { query: number; labels: Record<string, string> }[], shade: Shade): string[] {
  const named = lines.map((line) => {
    const { word } = colorWord(panel.queries[line.query]!, line.labels)
    return word === undefined ? null : colorOf(word, shade)
  })
  const left = order.map((h) => hues[h][shade]).filter((c) => !named.includes(c))
  const free = left.length > 0 ? left : order.map((h) => hues[h][shade])
  // A device has one color above and below zero.
  const seen = new Map<string, number>()
  return lines.map((line, i) => {
    const color = named[i]
    if (color) return color
    const id = panel.draw === 'mirror' ? Object.entries(line.labels).filter(([l]) => l !== 'direction').map(String).join() : `${line.query} ${i}`
    if (!seen.has(id)) seen.set(id, seen.size)
    return free[seen.get(id)! % free.length]!
  })
}

// clear makes a color transparent.
export const clear = (color: string, opacity: number): string => color + Math.round(opacity * 255).toString(16).padStart(2, '0')
