import { describe, expect, it } from 'vitest'
import { misread, pages, parseView, type View, writeView } from './route'
import { presets } from './time'

const read = (address: string): View => parseView(new URL(address, 'http://sysotel.test'))

describe('the address', () => {
  it('reads what it writes', () => {
    for (const page of pages) {
      for (const range of [...presets.map((preset) => ({ preset })), { from: 1770028200, to: 1770031800 }]) {
        for (const host of ['', 'vm', 'a&b=c#d "e" ü']) {
          for (const at of [null, 1770029000]) {
            for (const compare of [0, 86_400, 5400]) {
              for (const own of [{}, { sort: 'memory', q: 'a b&c' }] as Record<string, string>[]) {
                const view: View = { page, range, host, at, compare, own }
                expect(read(writeView(view))).toEqual(view)
              }
            }
          }
        }
      }
    }
  })
  it('is short for defaults', () => { expect(writeView(read('/'))).toBe('/') })
  it('has readable times', () => {
    expect(writeView(read('/processes?from=1770028200&to=1770031800'))).toBe('/processes?from=2026-02-02T10:30:00Z&to=2026-02-02T11:30:00Z')
  })
  it.each([
    ['/', ''], ['/?range=6h', ''], ['/?from=1770028200&to=1770031800', ''], ['/processes?at=2026-02-02T10:30:00Z&q=x', ''],
    ['/?from=x&to=1770031800', 'from=x'], ['/?from=2026-02-02T10:30:00Z', 'from=2026-02-02T10:30:00Z to='], ['/?from=1770031800&to=1770028200', 'from=1770031800 to=1770028200'],
    ['/?range=3w', 'range=3w'], ['/?at=noon&range=2y', 'at=noon range=2y'], ['/?compare=1d', ''], ['/?compare=yesterday', 'compare=yesterday'],
  ])('%s has wrong %j', (address, want) => { expect(misread(new URL(address, 'http://sysotel.test')).join(' ')).toBe(want) })
  it.each(['/?from=x&to=y', '/?from=2026-02-02T10:30:00Z', '/?from=1770031800&to=1770028200', '/?range=3w', '/nowhere'])('%s falls back to the usual', (address) => {
    expect(read(address)).toMatchObject({ page: 'overview', range: { preset: '1h' }, at: null })
  })
})
