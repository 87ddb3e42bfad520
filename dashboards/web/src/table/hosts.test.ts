import { expect, it } from 'vitest'
import { arrangeHosts, type Counted, type HostColumn } from './hosts'

const host = (host_name: string, more: Partial<Counted> = {}): Counted => ({ host_name, host_id: '', version: '1.2', last_seen: '2026-02-02T10:30:00Z', status: 'up', cpu_percent: 10, memory_percent: 20, disk_percent: 30, firing: 0, ...more })
const all = [host('web-10', { cpu_percent: 90 }), host('web-2', { firing: 2 }), host('db', { status: 'late', cpu_percent: null, last_seen: '2026-02-02T10:00:00Z' }), host('old', { status: 'late', last_seen: '2026-02-01T10:00:00Z', version: '1.10' })]

it.each<[HostColumn | '', boolean, string, string]>([
  ['', false, '', 'db old web-2 web-10'],
  ['name', true, '', 'db old web-2 web-10'],
  ['name', false, '', 'web-10 web-2 old db'],
  ['status', false, '', 'old db web-2 web-10'],
  ['alerts', false, '', 'web-2 db old web-10'],
  ['cpu', false, '', 'web-10 old web-2 db'],
  ['version', false, '', 'old db web-2 web-10'],
  ['', false, ' WEB', 'web-2 web-10'],
  ['', false, '.*', ''],
])('by %j, upwards %j, filtered by %j', (sort, up, filter, want) => {
  expect(arrangeHosts([...all], { sort, up, filter }).map((h) => h.host_name).join(' ')).toBe(want)
})
