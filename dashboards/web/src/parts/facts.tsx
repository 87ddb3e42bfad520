import type { ComponentChildren } from 'preact'
import { remote } from '../facts'
import { isOwnHost } from '../host'
import { language, t } from '../i18n'
import { pathOf, measure, now } from '../state'
import { reading } from '../stream'
import { durationLabel, momentLabel } from '../time'
import { written } from '../units'

// HostFacts describes the machine in one line.
export function HostFacts() {
  return <ul class="facts">{(isOwnHost.value ? ownFacts() : otherFacts()).map(([name, value]) => <li key={name}><span>{name}</span> <b>{value}</b></li>)}</ul>
}

function otherFacts(): [string, ComponentChildren][] {
  const f = remote.value
  if (!f) return []
  return [
    [t('host.processors'), String(f.facts.cores ?? '–')],
    [t('host.memory'), written(f.facts.memory.total, 'bytes', measure.value)],
    [t('host.uptime'), f.uptime === null ? '–' : durationLabel(f.uptime, language, 2)],
    ...(f.url ? [[t('host.agent'), <a href={f.url + pathOf({ host: '' })}>{t('host.agent.go')}</a>] as [string, ComponentChildren]] : []),
  ]
}

function ownFacts(): [string, string][] {
  const r = reading.value
  if (!r) return []
  const boot = r.boot_time ? Date.parse(r.boot_time) / 1000 : null
  const frequency = r.cpu.frequency.current
  const list: [string, string][] = [
    [t('host.os'), r.os ?? '–'],
    [t('host.processors'), `${r.cpu.count ?? '–'}${frequency ? ` × ${written(frequency * 1e6, 'hertz', measure.value)}` : ''}`],
    [t('host.memory'), written(r.memory.total, 'bytes', measure.value)],
    [t('host.processes'), String(r.processes.total ?? '–')],
    [t('host.uptime'), r.uptime_seconds === null ? '–' : durationLabel(r.uptime_seconds, language, 2)],
  ]
  if (boot) list.push([t('host.booted'), momentLabel(boot, language, now.peek(), false)])
  if (r.limits.scope !== 'none') list.push([t('host.scope'), r.limits.path])
  return list
}
