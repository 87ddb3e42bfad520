import type { Facts, Filesystem } from './facts'
import { type Gauge, type Level, levelOf, type Limit, loadLimit } from './limits'

// The one judge of a machine's values: the color of a meter and the status sentence say
// the same. One busy second is no trouble, so what jumps is judged by its last minute.

export interface Judged {
  // share is what is judged, null if it is unknown; it is not what a meter shows.
  share: number | null
  level: Level
}

export type Verdicts = Record<Exclude<Gauge, 'disk'> | 'load', Judged> & { disks: (Filesystem & { level: Level })[] }

export function judge(facts: Facts, limits: Record<Gauge, Limit>): Verdicts {
  const of = (share: number | null | undefined, limit: Limit): Judged => ({ share: share ?? null, level: levelOf(share, limit) })
  return {
    cpu: of(facts.steadyCPU, limits.cpu),
    memory: of(facts.memory.share, limits.memory),
    swap: of(facts.swap.share, limits.swap),
    busy: of(facts.steadyBusy, limits.busy),
    pressure: of(facts.pressure?.share, limits.pressure),
    load: of(loadShare(facts), loadLimit),
    disks: facts.filesystems.map((f) => ({ ...f, level: levelOf(f.share, limits.disk) })),
  }
}

// loadShare is the load as a share of twice the processors.
export const loadShare = (f: Facts): number | null => (f.load === null || !f.cores ? null : f.load / (2 * f.cores))
