import { afterEach, expect, it, vi } from 'vitest'
import { clocks, languages, stored } from './choice'

afterEach(() => { vi.unstubAllGlobals() })

const storing = (value: string | null) => { vi.stubGlobal('localStorage', { getItem: (key: string) => (key === 'sysotel.language' ? value : null) }) }

it('is what was chosen', () => {
  storing('ko')
  expect(stored('language', languages)).toBe('ko')
  expect(stored('clock', clocks)).toBe('h23')
})

it('is the usual where nothing, or nonsense, was chosen', () => {
  for (const value of [null, '', 'xx', '<b>']) {
    storing(value)
    expect(stored('language', languages)).toBe('auto')
  }
  vi.stubGlobal('localStorage', { getItem: () => { throw new Error('no') } })
  expect(stored('language', languages)).toBe('auto')
})
