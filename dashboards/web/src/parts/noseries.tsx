import { ask } from '../api/client'
import type { components } from '../api/schema'
import { t } from '../i18n'

// Selectors that match no series, with the reason.

export type NoSeries = components['schemas']['NoSeries']

const reasons = ['unknown_metric', 'not_measured', 'unknown_label', 'unknown_value', 'unknown_rule', 'no_match'] as const

// whyNoSeries is the reason in the page's language; a newer agent may have others.
export function whyNoSeries({ reason, label, nearest }: NoSeries): string {
  const known = reasons.find((r) => r === reason) ?? 'no_match'
  const why = t(`noseries.${known}`, { label: label ?? '' })
  return nearest ? `${why}; ${t('noseries.nearest', { name: nearest })}` : why
}

// most is how many selectors are shown.
const most = 5

export function NoSeriesList({ all }: { all: NoSeries[] }) {
  return (
    <>
      {all.slice(0, most).map((one) => <span key={one.selector} class="line"><code>{one.selector}</code>: {whyNoSeries(one)}</span>)}
      {all.length > most && <span class="line">{t('noseries.more', { n: all.length - most })}</span>}
    </>
  )
}

// askNoSeries returns the selectors without which an expression has no result in a time
// range of the agent's own machine; none if it has one, or if that is not known.
export async function askNoSeries(expr: string, from: number, to: number, signal: AbortSignal): Promise<NoSeries[]> {
  try {
    const { body } = await ask<components['schemas']['Preview']>('/api/v1/alerts/preview', { body: { expr, start: String(Math.floor(from)), end: String(Math.ceil(to)) }, signal })
    return body.no_series ?? []
  } catch {
    return [] // That there is no data is known already.
  }
}
