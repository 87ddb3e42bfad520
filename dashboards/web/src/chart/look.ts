import type { Look } from './options'

// The colors of charts come from the style sheet.
const looks = new Map<string, Look>()

export function lookOf(element: Element, shade: string): Look {
  const before = looks.get(shade)
  if (before) return before
  const style = getComputedStyle(element)
  const color = (name: string) => style.getPropertyValue(name).trim()
  const look = {
    ink: color('--ink'), soft: color('--soft'), grid: color('--grid'), card: color('--card'), gap: color('--gap'), mark: color('--mark'), warning: color('--warning-fill'), critical: color('--critical-fill'),
    font: `11px ${style.fontFamily}`,
  }
  looks.set(shade, look)
  return look
}
