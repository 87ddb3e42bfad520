import { useSignal, useSignalEffect } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import { ask } from '../api/client'
import { Chart } from '../chart/chart'
import { customPanels } from '../custom'
import { hostName } from '../host'
import { t } from '../i18n'
import { spanOf } from '../time'
import { now, view } from '../state'

// Custom shows the custom metrics in the time range.
export function Custom() {
  const names = useSignal<string[]>([])
  useSignalEffect(() => {
    const host = hostName.value
    if (host === '') return
    const span = spanOf(view.value.range, now.peek())
    const asking = new AbortController()
    const query = new URLSearchParams({ 'match[]': `{host_name=${JSON.stringify(host)}}`, start: String(Math.floor(span.from)), end: String(Math.ceil(span.to)) })
    ask<{ data: string[] }>(`/prometheus/api/v1/label/__name__/values?${query.toString()}`, { signal: asking.signal })
      .then(({ body }) => { names.value = body.data }, () => { /* The other charts show the error. */ })
    return () => { asking.abort() }
  })
  const panels = useMemo(() => customPanels(names.value), [names.value.join()])
  if (panels.length === 0) return null
  return (
    <section class="board custom-metrics">
      <h2>{t('custom.title')}</h2>
      <div class="grid">{panels.map((panel) => <Chart key={panel.id} panel={panel} />)}</div>
    </section>
  )
}
