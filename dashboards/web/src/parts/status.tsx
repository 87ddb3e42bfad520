import { language, t } from '../i18n'
import { facts, hush } from '../facts'
import { hostName, isOwnHost } from '../host'
import { limits } from '../thresholds'
import { badComponents, full, hostAlerts, pending } from '../watch'
import { type Clause, statusOf } from '../status'
import { durationLabel } from '../time'
import { measure } from '../state'
import { written } from '../units'
import { Sign } from './icons'

// StatusSentence shows problems, or that there are none.
export function StatusSentence() {
  const status = statusOf({ host: hostName.value, facts: facts.value, hush: hush.value, pending: pending.value, alerts: hostAlerts.value?.map((a) => ({ name: a.name, level: a.level })) ?? null, components: isOwnHost.value ? badComponents.value : [], full: full.value, limits: limits.value })
  return (
    <section class={`status ${status.level}`} aria-live="polite" aria-atomic="true">
      <Sign level={status.level} size={26} />
      <p>
        <strong>{say(status.headline)}</strong>
        {status.clauses.map((c, i) => <span key={`${i} ${c.word}`} class={`clause ${c.level}`}>{c.level !== 'ok' && <Sign level={c.level} size={14} />}{say(c)}</span>)}
      </p>
    </section>
  )
}

function say(c: Clause): string {
  return t(c.word, {
    ...c.values,
    ...(c.values?.resource === undefined ? {} : { resource: resourceName(String(c.values.resource)) }),
    ...(c.share === undefined ? {} : { value: written(c.share, 'ratio', measure.value) }),
    ...(c.seconds === undefined ? {} : { time: durationLabel(c.seconds, language) }),
  })
}

// resourceName returns the name of what programs wait for.
export const resourceName = (resource: string): string => (resource === 'cpu' || resource === 'io' || resource === 'memory' || resource === 'irq' ? t(`resource.${resource}`) : resource)
