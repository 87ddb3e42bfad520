import { describe, expect, it } from 'vitest'
import { durationLabel, fromField, parseMoment, presets, presetSeconds, spanOf, stepFor, stepLabel, toField, writeMoment, zoneName } from './time'

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
