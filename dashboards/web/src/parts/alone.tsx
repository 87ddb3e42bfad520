import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { Chart } from '../chart/chart'
import { customPanel } from '../custom'
import { t } from '../i18n'
import { isInstant, panels } from '../panels'
import { go, view } from '../state'

// Alone shows one chart as large as the window. The time range goes on to work.
export function Alone({ id }: { id: string }) {
  const room = useSignal(innerHeight)
  const leave = () => {
    const { full: _, ...own } = view.value.own
    go({ own })
  }
  useEffect(() => {
    const measure = () => { room.value = innerHeight }
    const key = (e: KeyboardEvent) => { if (e.key === 'Escape' && !e.defaultPrevented) leave() }
    addEventListener('resize', measure)
    addEventListener('keydown', key)
    return () => {
      removeEventListener('resize', measure)
      removeEventListener('keydown', key)
    }
  }, [])
  const panel = panels.get(id) ?? customPanel(id)
  return (
    <div class="alone">
      <button class="plain" onClick={leave}>{t('chart.full.leave')}</button>
      {panel && !isInstant(panel) ? <Chart key={id} panel={panel} height={Math.max(240, room.value - 245)} /> : <section class="panel"><p class="over">{t('chart.unknown', { id })}</p></section>}
    </div>
  )
}
