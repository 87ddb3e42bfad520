import { expect, it } from 'vitest'
import { boards, panels } from '../panels'
import { en } from './en'
import { ko, type PanelWord } from './ko'

// Missing texts are shown in English. A new panel may come without Korean, but not many.
const allowed = 10

const host = [...panels.values()]
const known = new Set<string>([
  ...Object.keys(en),
  ...host.flatMap((p) => [`panel.${p.id}`, `explain.${p.id}`]),
  ...boards.filter((b) => b.id !== 'overview').map((b) => `board.${b.id}`),
])
const korean = ko as Record<string, string | undefined>

it(`leaves at most ${allowed} texts in English`, () => {
  const missing = [...known].filter((word) => !korean[word])
  console.info(`${missing.length} untranslated${missing.map((word) => `\n  ${word}`).join('')}`)
  expect(missing.length, missing.join(', ')).toBeLessThanOrEqual(allowed)
})

it('translates nothing that does not exist', () => {
  expect(Object.keys(ko).filter((word) => !known.has(word))).toEqual([])
})

it('explains panels in Korean, with the sources of the English explanation', () => {
  const sources = (text: string) => [...new Set([...text.matchAll(/\/proc\/[\w/]*\w|\w+\(2\)|MemAvailable|MemTotal/g)].map((m) => m[0]))].sort()
  expect(host.length).toBeGreaterThan(50)
  for (const p of host) {
    const text = ko[`explain.${p.id}` as PanelWord]
    if (text === undefined) continue
    expect(text, p.id).toMatch(/[가-힣]/)
    expect(sources(text), p.id).toEqual(sources(p.explain))
  }
})

it('has the same values to fill in', () => {
  const values = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort()
  for (const [word, text] of Object.entries(en)) if (korean[word]) expect(values(korean[word]), word).toEqual(values(text))
})
