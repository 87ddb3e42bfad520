import { useSignal } from '@preact/signals'
import { useRef } from 'preact/hooks'
import { lineColors } from '../colors'
import { hostName } from '../host'
import { language, t, titleOf } from '../i18n'
import type { Panel } from '../panels'
import { useDismiss } from '../parts/dismiss'
import { Icon } from '../parts/icons'
import { go, isDark, measure, now, view } from '../state'
import { durationLabel, spanLabel, spanOf, stepLabel } from '../time'
import { written } from '../units'
import { csvOf, fileName } from './csv'
import type { Feed } from './feed'
import { lookOf } from './look'
import { canBeLog, listed } from './options'
import { download, picture } from './save'

// Menu has what can be done with one chart: alone on the page, saved, with another axis.
export function Menu({ panel, feed, canvas }: { panel: Panel; feed: Feed; canvas: () => HTMLCanvasElement | null }) {
  const isOpen = useSignal(false)
  const root = useRef<HTMLDivElement>(null)
  useDismiss(isOpen, root)
  const { own } = view.value
  const isFull = own.full === panel.id
  const logs = listed(own.log)
  const isLog = logs.includes(panel.id)
  const title = titleOf('panel', panel.id, panel.title)
  const choose = (does: () => void) => () => {
    isOpen.value = false
    does()
  }
  const save = (extension: string) => fileName(hostName.value, panel.id, spanOf(feed.range, now.peek()).from, extension)
  const earlier = () => t('chart.before', { time: durationLabel(feed.shift, language, 2) })
  const csv = () => {
    const { frame, beneath } = feed
    if (!frame) return
    const text = csvOf(panel, frame, feed.drawn, beneath && { cells: beneath, text: earlier() })
    download(new Blob([text], { type: 'text/csv' }), save('csv'))
  }
  const png = () => {
    const { frame } = feed
    const plot = canvas()
    if (!frame || !plot || !root.current) return
    const shade = isDark.value ? 'dark' : 'light'
    const colors = lineColors(panel, frame.lines, shade)
    const look = lookOf(root.current, shade)
    const items = feed.drawn.map((line) => ({ color: colors[frame.lines.indexOf(line)] ?? look.ink, name: line.name, value: written(line.mean.findLast((v) => v !== null), panel.unit, measure.value) }))
    if (feed.compared.value === 'ready') items.push({ color: look.soft, name: earlier(), value: '' })
    picture(plot, { title, lines: [hostName.value, spanLabel(spanOf(feed.range, now.peek()), language, now.peek()), t('chart.means', { step: stepLabel(frame.step, language) })], items }, look)
      .toBlob((blob) => { if (blob) download(blob, save('png')) })
  }
  return (
    <div class="menu" ref={root}>
      <button class="icon" aria-label={t('chart.menu', { title })} title={t('chart.menu', { title })} aria-expanded={isOpen.value} onClick={() => { isOpen.value = !isOpen.value }}><Icon name="more" /></button>
      {isOpen.value && (
        <div class="popover choices">
          <button onClick={choose(() => { go({ own: { ...own, full: isFull ? '' : panel.id } }) })}>{t(isFull ? 'chart.full.leave' : 'chart.full')}</button>
          {canBeLog(panel) && <button aria-pressed={isLog} onClick={choose(() => { go({ own: { ...own, log: (isLog ? logs.filter((id) => id !== panel.id) : [...logs, panel.id]).join(',') } }, 'replace') })}>{t('chart.log')}{isLog && <Icon name="check" size={15} />}</button>}
          <button disabled={!feed.frame} onClick={choose(png)}>{t('chart.png')}</button>
          <button disabled={!feed.frame} onClick={choose(csv)}>{t('chart.csv')}</button>
        </div>
      )}
    </div>
  )
}
