import type { Level } from '../limits'
import { t } from '../i18n'

// Signs besides colors: a tick, a triangle, a cross.
export function Sign({ level, size = 18 }: { level: Level; size?: number }) {
  const shape = { ok: 'M4.5 8.4l2.4 2.4 4.8-5.4', warning: 'M8 4.6v4M8 11v.4', critical: 'M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6' }[level]
  return (
    <svg class={`sign ${level}`} viewBox="0 0 16 16" width={size} height={size} role="img" aria-label={t(`level.${level}`)}>
      {level === 'warning' ? <path class="body" d="M8 .8L15.6 14.6H.4z" /> : <circle class="body" cx="8" cy="8" r="7.5" />}
      <path class="stroke" d={level === 'warning' ? 'M8 5.6v4.2M8 11.7v.5' : shape} />
    </svg>
  )
}

const paths = {
  overview: 'M2 8.5h2.6L6.2 4l3 8 1.7-3.5H14',
  processes: 'M2.5 4h11M2.5 8h11M2.5 12h7',
  alerts: 'M8 2.2c-2.4 0-4 1.8-4 4.2v3L2.8 11.6h10.4L12 9.4v-3c0-2.4-1.6-4.2-4-4.2zM6.6 13.6h2.8',
  hosts: 'M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1',
  settings: 'M3 5h6M12 5h1M3 11h1M7 11h6M10.5 3.4v3.2M5.5 9.4v3.2',
  dark: 'M12.8 9.8A5.6 5.6 0 1 1 6.2 3.2a4.6 4.6 0 0 0 6.6 6.6z',
  light: 'M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M12.8 3.2l-1 1M4.2 11.8l-1 1',
  left: 'M10 3.5L5.5 8l4.5 4.5',
  right: 'M6 3.5L10.5 8 6 12.5',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M5 3.2v9.6L12.5 8z',
  calendar: 'M2.5 3.5h11v10h-11zM2.5 6.5h11M5.5 2v3M10.5 2v3',
  link: 'M6.8 9.2l2.4-2.4M7.2 4.8l1.6-1.6a2.3 2.3 0 0 1 3.3 3.3l-1.7 1.6M8.8 11.2l-1.6 1.6a2.3 2.3 0 0 1-3.3-3.3l1.7-1.6',
  check: 'M3 8.5l3.2 3.2L13 5',
  close: 'M4 4l8 8M12 4l-8 8',
  compare: 'M1.8 10.5l3-4 3 3 3.2-5 3.2 3.6M1.8 13.6h1.6M5.2 13.6h1.6M8.6 13.6h1.6M12 13.6h1.6',
  more: 'M3.5 8h.1M8 8h.1M12.5 8h.1',
} as const

export type IconName = keyof typeof paths

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return <svg class="icon-shape" viewBox="0 0 16 16" width={size} height={size} aria-hidden="true"><path d={paths[name]} /></svg>
}
