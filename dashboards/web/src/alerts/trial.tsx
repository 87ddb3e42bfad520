import './trial.css'
import { useRef } from 'preact/hooks'
import { language, t } from '../i18n'
import { now } from '../state'
import { momentLabel } from '../time'
import { nice } from './nice'

// Trial shows the metric's history with a threshold line that can be dragged, and when
// it would have fired.

export interface Course {
  // Each series: times, with the maximum (or minimum) at each.
  series: { t: number[]; v: (number | null)[] }[]
  from: number
  to: number
}

interface Props {
  course: Course
  threshold: number
  recover: number | null
  firings: { from: number; to: number }[]
  written: (value: number) => string
  drag: (value: number) => void
}

const width = 720
const height = 190

export function Trial({ course, threshold, recover, firings, written, drag }: Props) {
  const box = useRef<SVGSVGElement>(null)
  const values = course.series.flatMap((s) => s.v.filter((v): v is number => v !== null))
  const top = Math.max(...values, threshold, recover ?? -Infinity, 1e-9) * 1.1
  const low = Math.min(0, ...values, threshold, recover ?? Infinity)
  const x = (at: number) => ((at - course.from) / (course.to - course.from)) * width
  const y = (v: number) => height - ((v - low) / (top - low)) * height
  const line = (s: Course['series'][number]) => {
    let pen = 'M'
    let d = ''
    s.t.forEach((at, i) => {
      const v = s.v[i]
      if (v === null || v === undefined) { pen = 'M'; return }
      d += `${pen}${x(at).toFixed(1)} ${y(v).toFixed(1)}`
      pen = 'L'
    })
    return d
  }
  const move = (e: PointerEvent) => {
    if (e.buttons === 0 || !box.current) return
    const { top: above, height: tall } = box.current.getBoundingClientRect()
    const share = 1 - Math.min(1, Math.max(0, (e.clientY - above) / tall))
    drag(nice(low + share * (top - low), top - low))
  }
  const key = (e: KeyboardEvent) => {
    const step = nice((top - low) / 50, top - low)
    const by = { ArrowUp: step, ArrowDown: -step, PageUp: 10 * step, PageDown: -10 * step }[e.key]
    if (by === undefined) return
    e.preventDefault()
    drag(nice(threshold + by, top - low))
  }
  return (
    <figure class="trial">
      <svg ref={box} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" onPointerDown={(e) => { e.currentTarget.setPointerCapture(e.pointerId); move(e) }} onPointerMove={move} aria-hidden="true">
        {firings.map((f) => <rect key={f.from} class="fired" x={x(f.from)} width={Math.max(2, x(f.to) - x(f.from))} y="0" height={height} />)}
        {course.series.slice(0, 40).map((s, i) => <path key={i} class="course" d={line(s)} />)}
        {recover !== null && <line class="recover" x1="0" x2={width} y1={y(recover)} y2={y(recover)} />}
        <line class="threshold" x1="0" x2={width} y1={y(threshold)} y2={y(threshold)} />
      </svg>
      <button type="button" class="handle" style={{ top: `${(y(threshold) / height) * 100}%` }} role="slider" aria-label={t('rules.threshold')} aria-valuenow={threshold} aria-valuemin={low} aria-valuemax={top} aria-valuetext={written(threshold)} aria-orientation="vertical" onKeyDown={key}>{written(threshold)}</button>
      <figcaption><span>{momentLabel(course.from, language, now.peek(), false)}</span><span>{t('rules.drag')}</span><span>{momentLabel(course.to, language, now.peek(), false)}</span></figcaption>
    </figure>
  )
}
