import type { components } from '../api/schema'

// The order of the table of machines.

export type Counted = components['schemas']['Host'] & { firing: number }

export const hostColumns = ['name', 'status', 'alerts', 'cpu', 'memory', 'disk', 'version'] as const
export type HostColumn = (typeof hostColumns)[number]

const collator = new Intl.Collator('en', { numeric: true })

// rank is what a column is sorted by: the greater, the worse; unknown is last.
const rank: Record<Exclude<HostColumn, 'name' | 'version'>, (h: Counted) => number> = {
  status: (h) => (h.status === 'up' ? 0 : 1e12 - Date.parse(h.last_seen) / 1000),
  alerts: (h) => h.firing,
  cpu: (h) => h.cpu_percent ?? -1,
  memory: (h) => h.memory_percent ?? -1,
  disk: (h) => h.disk_percent ?? -1,
}

// arrangeHosts filters by name and sorts. Without a column, those in trouble come first:
// the late ones, then those with most alerts.
export function arrangeHosts(list: Counted[], { sort, up, filter }: { sort: HostColumn | ''; up: boolean; filter: string }): Counted[] {
  const word = filter.trim().toLowerCase()
  const found = list.filter((h) => h.host_name.toLowerCase().includes(word))
  const byName = (a: Counted, b: Counted) => collator.compare(a.host_name, b.host_name)
  const turn = up ? 1 : -1
  const order = (a: Counted, b: Counted): number => {
    switch (sort) {
      case '':
        return Number(b.status !== 'up') - Number(a.status !== 'up') || b.firing - a.firing
      case 'name':
        return turn * byName(a, b)
      case 'version':
        return turn * collator.compare(a.version, b.version)
      default:
        return turn * (rank[sort](a) - rank[sort](b))
    }
  }
  return found.sort((a, b) => order(a, b) || byName(a, b))
}
