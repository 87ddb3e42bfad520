import type { Unit } from '../units'

// The metrics of the REST API that thresholds use, with their section and unit.

export interface Metric {
  name: string
  part: 'cpu' | 'memory' | 'disk' | 'network'
  // The factor from the API's unit to ours.
  factor: number
  unit: Unit
}

const percent = { factor: 0.01, unit: 'ratio' } as const
const bytes = { factor: 1, unit: 'bytes' } as const
const rate = { factor: 1, unit: 'bytes_per_second' } as const
const count = { factor: 1, unit: 'per_second' } as const

export const metrics: Metric[] = [
  { name: 'cpu_usage_total', part: 'cpu', ...percent },
  { name: 'cpu_usage_per_core', part: 'cpu', ...percent },
  { name: 'load_average_1', part: 'cpu', factor: 1, unit: 'none' },
  { name: 'load_average_5', part: 'cpu', factor: 1, unit: 'none' },
  { name: 'load_average_15', part: 'cpu', factor: 1, unit: 'none' },
  { name: 'memory_percent', part: 'memory', ...percent },
  { name: 'memory_available', part: 'memory', ...bytes },
  { name: 'memory_used', part: 'memory', ...bytes },
  { name: 'swap_percent', part: 'memory', ...percent },
  { name: 'swap_used', part: 'memory', ...bytes },
  { name: 'disk_percent', part: 'disk', ...percent },
  { name: 'disk_free', part: 'disk', ...bytes },
  { name: 'disk_read_bytes', part: 'disk', ...rate },
  { name: 'disk_write_bytes', part: 'disk', ...rate },
  { name: 'disk_read_count', part: 'disk', ...count },
  { name: 'disk_write_count', part: 'disk', ...count },
  { name: 'net_bytes_recv', part: 'network', ...rate },
  { name: 'net_bytes_sent', part: 'network', ...rate },
  { name: 'net_packets_recv', part: 'network', ...count },
  { name: 'net_packets_sent', part: 'network', ...count },
  { name: 'net_errin', part: 'network', ...count },
  { name: 'net_errout', part: 'network', ...count },
  { name: 'net_dropin', part: 'network', ...count },
  { name: 'net_dropout', part: 'network', ...count },
]

// readPairs parses "device=sda, mountpoint=~/data.*" into a threshold's labels: the value
// after the first equals sign keeps its ~ or !.
export function readPairs(text: string): Record<string, string> {
  const pairs: Record<string, string> = {}
  for (const part of text.split(',')) {
    const at = part.indexOf('=')
    const name = part.slice(0, Math.max(at, 0)).trim()
    if (name === '') continue
    if (name.endsWith('!')) pairs[name.slice(0, -1).trim()] = '!' + part.slice(at + 1).trim()
    else pairs[name] = part.slice(at + 1).trim()
  }
  return pairs
}

export const writePairs = (pairs: Record<string, string> | undefined): string => Object.entries(pairs ?? {}).map(([k, v]) => `${k}=${v}`).join(', ')
