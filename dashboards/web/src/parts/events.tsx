import { events } from '../events'
import { type MachineEvent, isMarked } from '../event'
import { language, t, type Word } from '../i18n'
import { now, zoom } from '../state'
import { durationLabel, momentLabel } from '../time'

// Events lists the events in the time range, newest first.
export function Events() {
  const list = events.value.filter((h) => isMarked(h) || h.kind === 'stop' || h.kind === 'device_added' || h.kind === 'device_removed' || (h.kind === 'gap' && h.to !== null))
  return (
    <section class="panel events" aria-label={t('event.title')}>
      <header><h3>{t('event.title')}</h3></header>
      {list.length === 0 ? <p class="over">{t('event.none')}</p> : (
        <ul>
          {list.slice(0, 50).map((h) => (
            <li key={`${h.id} ${h.at} ${h.kind} ${h.subject}`}>
              <button class="link" onClick={() => { zoom(h.at - 150, h.at + 150) }}><time>{momentLabel(h.at, language, now.peek())}</time></button>
              <span>{t(`event.${h.kind}` as Word, { subject: h.subject })}{describe(h)}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function describe(h: MachineEvent): string {
  const words: string[] = []
  if (h.kind === 'gap' && h.subject) words.push(h.subject)
  if (h.cause) words.push(h.cause)
  if (h.from !== null && h.to !== null && h.to - h.from >= 1) words.push(durationLabel(h.to - h.from, language))
  return words.length > 0 ? ` · ${words.join(' · ')}` : ''
}
