import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { durationLabel, fromField, parseMoment, presets, presetSeconds, spanLabel, spanOf, stepFor, stepLabel, tierSeconds, toField, writeMoment, zoneName } from './time'

describe('moments', () => {
  it.each([
    ['2026-02-02T10:30:00Z', 1770028200],
    ['2026-02-02T19:30:00+09:00', 1770028200],
    ['2026-02-02T10:30:00.500Z', 1770028200.5],
    ['2026-02-02T10:30Z', 1770028200],
    ['1770028200', 1770028200],
    ['yesterday', null],
    ['2026-02-02', null],
    ['2026-13-41T10:30:00Z', null],
    ['', null],
  ])('reads %s', (text, want) => { expect(parseMoment(text)).toBe(want) })

  it('reads what it writes', () => {
    for (const at of [0, 1770028200, 1770028200.25]) expect(parseMoment(writeMoment(at))).toBe(at)
    expect(writeMoment(1770028200)).toBe('2026-02-02T10:30:00Z')
  })

  it('round-trips a local time field', () => { expect(fromField(toField(1770028200))).toBe(1770028200) })

  it('names the zone with its offset', () => { expect(zoneName(1770028200)).toMatch(/^\S+, UTC[+−]\d\d:\d\d$/) })
})

describe('the hour that is there twice', () => {
  const zone = process.env.TZ
  beforeAll(() => { process.env.TZ = 'America/New_York' })
  afterAll(() => {
    if (zone === undefined) delete process.env.TZ
    else process.env.TZ = zone
  })
  const at = (text: string) => Date.parse(text) / 1000
  it('is told with the offsets of both ends', () => {
    expect(spanLabel({ from: at('2026-11-01T05:45Z'), to: at('2026-11-01T06:15Z') }, 'en', at('2026-11-01T12:00Z'))).toBe('01:45:00 UTC−04:00 – 01:15:00 UTC−05:00')
    expect(zoneName(at('2026-11-01T05:45Z'), at('2026-11-01T06:15Z'))).toMatch(/UTC−04:00 – UTC−05:00$/)
    expect(spanLabel({ from: at('2026-11-01T12:00Z'), to: at('2026-11-01T13:00Z') }, 'en', at('2026-11-01T14:00Z'))).toBe('07:00:00 – 08:00:00')
  })
  it('can be picked', () => {
    expect(fromField('2026-11-01T01:15:00')).toBe(at('2026-11-01T05:15Z'))
    expect(fromField('2026-11-01T01:15:00', at('2026-11-01T05:45Z'))).toBe(at('2026-11-01T06:15Z'))
    expect(fromField('2026-11-01T01:15:00', at('2026-11-01T09:00Z'))).toBe(at('2026-11-01T06:15Z'))
    expect(fromField('2026-11-01T03:00:00')).toBe(at('2026-11-01T08:00Z'))
  })
})

describe('spans', () => {
  it('ends a preset now', () => { expect(spanOf({ preset: '5m' }, 1000)).toEqual({ from: 700, to: 1000 }) })
  it('keeps two fixed times', () => { expect(spanOf({ from: 1, to: 2 }, 1000)).toEqual({ from: 1, to: 2 }) })
})

describe('steps', () => {
  it.each([[300, 400, 1], [3600, 400, 10], [86_400, 400, 300], [365 * 86_400, 400, 86_400], [10 * 365 * 86_400, 400, 10 * 86_400]])('%i s in %i points', (seconds, points, want) => {
    expect(stepFor(seconds, points)).toBe(want)
  })
  it('gives at most as many points as there is room for', () => {
    for (const p of presets) for (const points of [100, 256, 512, 800]) expect(presetSeconds[p] / stepFor(presetSeconds[p], points)).toBeLessThanOrEqual(points)
  })
})

describe('labels', () => {
  it.each([[3, 1, '3 seconds'], [41 * 86_400, 1, '41 days'], [3660, 2, '1 hr 1 min'], [86_400 * 2 + 3600 * 5, 2, '2 days 5 hr'], [0, 1, '0 seconds']])('%d s', (seconds, parts, want) => {
    expect(durationLabel(seconds, 'en', parts)).toBe(want)
  })
  it('speaks Korean', () => { expect(durationLabel(41 * 86_400, 'ko')).toBe('41일') })
  it.each([[1, '1 sec'], [300, '5 min'], [3600, '1 hr'], [86_400, '1 day']])('steps of %i', (seconds, want) => { expect(stepLabel(seconds, 'en')).toBe(want) })
})

it.each([['1s', 1], ['5m', 300], ['1m;source=local-cache, 1s', 60], ['1s, 1h', 3600], ['', 0], ['soon', 0]])('the resolution of an answer from %s', (header, want) => { expect(tierSeconds(header)).toBe(want) })
