import { language, t } from '../i18n'
import { measure, now } from '../state'
import { reading } from '../stream'
import { durationLabel, momentLabel } from '../time'
import { written } from '../units'

// HostFacts is what a machine is, in one line.
export function HostFacts() {
  const r = reading.value
  if (!r) return <ul class="facts" />
  const boot = r.boot_time ? Date.parse(r.boot_time) / 1000 : null
  const frequency = r.cpu.frequency.current
  const list: [string, string][] = [
    [t('host.processors'), `${r.cpu.count ?? '–'}${frequency ? ` × ${written(frequency * 1e6, 'hertz', measure.value)}` : ''}`],
    [t('host.memory'), written(r.memory.total, 'bytes', measure.value)],
    [t('host.processes'), String(r.processes.total ?? '–')],
    [t('host.uptime'), r.uptime_seconds === null ? '–' : durationLabel(r.uptime_seconds, language, 2)],
  ]
  if (boot) list.push([t('host.booted'), momentLabel(boot, language, now.peek(), false)])
  if (r.limits.scope !== 'none') list.push([t('host.scope'), r.limits.path])
  return <ul class="facts">{list.map(([name, value]) => <li key={name}><span>{name}</span> <b>{value}</b></li>)}</ul>
}
