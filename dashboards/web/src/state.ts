import { computed, effect, signal } from '@preact/signals'
import { base } from './base'
import { clocks, languages } from './choice'
import { misread, parseView, type View, writeView } from './route'
import { isLive, lengthOf, type Range, spanOf } from './time'
import type { Measure } from './units'
import { reading, serverNow } from './stream'

// State of the whole page: the view in its address, and the user's kept choices.

export const view = signal<View>(parseView(new URL(location.href)))

// depth counts the zoom steps that a double click can undo.
const depth = (): number => (history.state as { depth?: number } | null)?.depth ?? 0

// wrong are the parameters of the address that were not understood.
export const wrong = signal(misread(new URL(location.href)))

addEventListener('popstate', () => {
  view.value = parseView(new URL(location.href))
  wrong.value = misread(new URL(location.href))
})

// go changes the view and its address. Another page starts without the previous page's
// own parameters.
export function go(change: Partial<View>, how: 'push' | 'replace' | 'zoom' = 'push'): void {
  const before = view.value
  const other = change.page !== undefined && change.page !== before.page
  const next: View = { ...before, at: null, ...(other ? { own: {} } : { at: before.at }), ...change }
  const address = writeView(next)
  if (address === writeView(before)) return
  if (how === 'replace') history.replaceState(history.state, '', base + address)
  else history.pushState({ depth: how === 'zoom' ? depth() + 1 : 0 }, '', base + address)
  view.value = next
  wrong.value = []
  if (other) scrollTo(0, 0)
}

// hrefOf is the address of a changed view here, pathOf below the root of any agent.
export const hrefOf = (change: Partial<View>): string => base + pathOf(change)
export const pathOf = (change: Partial<View>): string =>
  writeView({ ...view.value, ...(change.page !== undefined && change.page !== view.value.page ? { own: {}, at: null } : {}), ...change })

export const setRange = (range: Range): void => go({ range, at: null })

export function zoom(from: number, to: number): void {
  const middle = (from + to) / 2
  // A range is at least five seconds.
  const half = Math.max((to - from) / 2, 2.5)
  go({ range: { from: Math.round(middle - half), to: Math.round(middle + half) }, at: null }, 'zoom')
}

// zoomBack undoes the last zoom, or doubles the range.
export function zoomBack(): void {
  if (depth() > 0) return history.back()
  const span = spanOf(view.value.range, serverNow())
  const length = lengthOf(view.value.range)
  setRange({ from: Math.round(span.from - length / 2), to: Math.round(Math.min(span.to + length / 2, serverNow())) })
}

// now is the agent's time, updated with each reading and each second.
export const now = signal(serverNow())
setInterval(() => { now.value = serverNow() }, 1000)
effect(() => { if (reading.value) now.value = serverNow() })

export const live = computed(() => isLive(view.value.range))

// A choice kept in local storage, if there is any.
function kept<T extends string>(name: string, first: T, allowed: readonly T[]) {
  const key = `sysotel.${name}`
  let start = first
  try {
    const found = localStorage.getItem(key) as T | null
    if (found && allowed.includes(found)) start = found
  } catch { /* No storage. */ }
  const s = signal<T>(start)
  let isFirst = true
  effect(() => {
    const value = s.value
    if (isFirst) { isFirst = false; return }
    try { localStorage.setItem(key, value) } catch { /* No storage. */ }
  })
  return s
}

export const theme = kept('theme', 'auto', ['auto', 'dark', 'light'])
export const languageChoice = kept('language', languages[0], languages)
export const clockChoice = kept('clock', clocks[0], clocks)
// Texts and times are made once: the page is loaded anew.
let isLoaded = false
effect(() => {
  void languageChoice.value
  void clockChoice.value
  if (isLoaded) location.reload()
  isLoaded = true
})
export const sizes = kept<Measure['sizes']>('sizes', 'binary', ['binary', 'decimal'])
export const traffic = kept<Measure['traffic']>('traffic', 'bytes', ['bytes', 'bits'])
export const measure = computed<Measure>(() => ({ sizes: sizes.value, traffic: traffic.value }))

const dark = matchMedia('(prefers-color-scheme: dark)')
const systemDark = signal(dark.matches)
dark.addEventListener('change', () => { systemDark.value = dark.matches })
export const isDark = computed(() => (theme.value === 'auto' ? systemDark.value : theme.value === 'dark'))
effect(() => {
  document.documentElement.dataset.theme = isDark.value ? 'dark' : 'light'
})
