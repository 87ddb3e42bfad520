import { computed } from '@preact/signals'
import { base } from '../base'
import { t } from '../i18n'
import { measure } from '../state'
import { isStale, reading, silence } from '../stream'
import { written } from '../units'
import { badComponents, health, queue } from '../watch'
import { Sign } from './icons'

// cost is the agent's share of one processor, over the last minute at most.
let past: { at: number; cpu: number }[] = []
const cost = computed(() => {
  const r = reading.value
  if (!r) return null
  const at = Date.parse(r.timestamp) / 1000
  if (past.at(-1)?.at !== at) past = [...past.filter((p) => p.at > at - 60 && p.at < at), { at, cpu: r.agent.cpu_seconds ?? 0 }]
  const first = past[0]!
  return at > first.at ? ((r.agent.cpu_seconds ?? 0) - first.cpu) / (at - first.at) : null
})

// Footer shows the agent's own status.
export function Footer() {
  const r = reading.value
  const q = queue.value
  const bad = badComponents.value
  return (
    <footer class={isStale.value ? 'page-footer stale' : 'page-footer'}>
      <span class="part">{health.value !== null && <Sign level={health.value === 'ok' ? 'ok' : health.value === 'failed' ? 'critical' : 'warning'} size={14} />}{t(health.value === null || health.value === 'ok' ? 'footer.health' : 'footer.health.bad')}{bad.length > 0 && ` ${bad.map((p) => `${p.name}: ${p.reason}`).join('; ')}`}</span>
      {r && <>
        <span class="part">{t('footer.agent', { version: r.agent.version })}</span>
        {cost.value !== null && <span class="part">{t('footer.cpu', { value: share(cost.value) })}</span>}
        <span class="part">{t('footer.memory', { value: written(r.agent.memory, 'bytes', measure.value) })}</span>
        <span class="part lag">{t('footer.lag', { value: `${silence.value} s` })}</span>
        <span class="part">{r.agent.gaps ? t('footer.gaps', { n: r.agent.gaps }) : t('footer.gaps.none')}</span>
      </>}
      {q && <span class={q.dropped > 0 ? 'part warning' : 'part'}>{q.waiting > 0 ? t('footer.queue', { n: q.waiting }) : t('footer.queue.none')}{q.dropped > 0 && `, ${t('footer.dropped', { n: q.dropped })}`}</span>}
      <a href={base + '/docs'}>{t('footer.docs')}</a>
    </footer>
  )
}

const share = (value: number): string => `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`
