import { type Signal, useSignal } from '@preact/signals'
import { lineColors } from '../colors'
import { language, t } from '../i18n'
import { isDark, measure, now } from '../state'
import { durationLabel, momentLabel, stepLabel, tierSeconds } from '../time'
import { between, difference, written } from '../units'
import type { Feed } from './feed'
import type { Shown } from './options'

// Lines in the legend before the rest is collapsed.
const room = 7

// Legend lists the lines with their values at the crosshair, else the newest. All charts
// show the same time.
export function Legend({ feed, cursor, shown }: { feed: Feed; cursor: Signal<number | null>; shown: { current: Shown } }) {
  void feed.version.value
  const all = useSignal(false)
  const { frame, panel } = feed
  if (!frame || frame.lines.length === 0) return <div class="legend" />
  const idx = cursor.value
  const at = idx === null ? undefined : frame.times[idx]
  const colors = lineColors(panel, frame.lines, isDark.value ? 'dark' : 'light')
  const gap = at === undefined ? undefined : shown.current.gaps.find((g) => at > g.gap.from && at < g.gap.to)
  const mark = at === undefined ? undefined : shown.current.marks.find((m) => Math.abs(m.at - at) <= Math.max(frame.step, (shown.current.to - shown.current.from) / 200))
  const drawn = new Set(feed.drawn.map((l) => l.key))
  const lines = frame.lines.map((line, i) => ({ line, color: colors[i]!, value: idx === null ? newest(line.mean) : line.mean[idx] }))
  const folded = lines.length > room && !all.value
  // The highest values stay visible.
  const kept = folded ? new Set([...lines].sort((a, b) => Math.abs(b.value ?? 0) - Math.abs(a.value ?? 0)).slice(0, room - 1)) : null
  return (
    <div class="legend">
      {lines.filter((l) => !kept || kept.has(l)).map(({ line, color, value }) => (
        <button
          class="item" key={line.key} title={t('chart.choose')} aria-pressed={drawn.has(line.key)}
          onClick={(e) => { if (e.shiftKey) feed.hide(line.key); else feed.isolate(line.key) }}
        >
          <i style={{ background: color }} aria-hidden="true" />
          <span class="name">{line.name}</span>
          <b>{written(value, panel.unit, measure.value)}</b>
          {idx !== null && line.max && line.min && value !== null && (
            <small>{between(line.min[idx], line.max[idx], panel.unit, measure.value)}</small>
          )}
          {at !== undefined && <Was value={value ?? null} was={feed.before(line.key, at)} feed={feed} />}
        </button>
      ))}
      {lines.length > room && (
        <button class="link" onClick={() => { all.value = !all.value }}>{folded ? t('chart.more', { n: lines.length - (room - 1) }) : t('chart.less')}</button>
      )}
      {frame.left.size > 0 && <span class="left">{t('chart.left', { n: frame.lines.length, all: frame.lines.length + frame.left.size })}</span>}
      {feed.compared.value !== null && <Earlier feed={feed} at={at} />}
      <time class="when">{at === undefined ? '' : momentLabel(at, language, now.peek())}{gap ? ` · ${gap.label}` : mark ? ` · ${mark.label}` : ''}</time>
    </div>
  )
}

function newest(cells: (number | null)[]): number | null {
  for (let i = cells.length - 1; i >= Math.max(0, cells.length - 5); i--) if (cells[i] !== null) return cells[i] ?? null
  return null
}

// Was says how much a value has changed.
function Was({ value, was, feed }: { value: number | null; was: number | null; feed: Feed }) {
  if (value === null || was === null) return null
  const { unit } = feed.panel
  return <small class="was">{t('chart.was', { difference: difference(value, was, unit, measure.value, t('unit.points')), value: written(was, unit, measure.value) })}</small>
}

// Earlier says what the grey lines are.
function Earlier({ feed, at }: { feed: Feed; at: number | undefined }) {
  const state = feed.compared.value
  const time = durationLabel(feed.shift, language, 2)
  if (state === 'loading') return <span class="earlier">{t('state.loading')}</span>
  if (state === 'empty') return <span class="earlier">{t('chart.before.none', { time })}</span>
  if (state !== 'ready' || !feed.frame) return <span class="earlier">{t('chart.before.failed', { time })}</span>
  const coarse = tierSeconds(feed.earlierTier)
  return (
    <span class="earlier">
      <i class={feed.panel.draw === 'stack' ? 'dashed' : ''} aria-hidden="true" />
      {t(feed.panel.draw === 'stack' ? 'chart.before.total' : 'chart.before', { time })}
      {coarse > feed.frame.step && `, ${t('chart.means', { step: stepLabel(coarse, language) })}`}
      {at !== undefined && `: ${momentLabel(at - feed.shift, language, now.peek())}`}
    </span>
  )
}
