import { expect, it } from 'vitest'
import { list } from '../panels.generated'
import { ko } from './ko'

const host = list.panels.filter((p) => p.source === 'host')
const hangul = /[가-힣]/

it('names and explains every panel of these pages in Korean', () => {
  expect(host.length).toBeGreaterThan(50)
  expect(host.filter((p) => !ko[`panel.${p.id}`] || !hangul.test(ko[`explain.${p.id}`] ?? '')).map((p) => p.id)).toEqual([])
})

it('names the sources that the English explanations name', () => {
  const sources = (text: string) => [...text.matchAll(/\/proc\/[\w/]*\w|\w+\(2\)|MemAvailable|MemTotal/g)].map((m) => m[0]).sort()
  for (const p of host) expect([p.id, [...new Set(sources(ko[`explain.${p.id}`] ?? ''))]]).toEqual([p.id, [...new Set(sources(p.explain))]])
})

it('explains nothing that there is not', () => {
  const known = new Set(list.panels.map((p) => p.id))
  expect(Object.keys(ko).filter((k) => /^(panel|explain)\./.test(k) && !known.has(k.slice(k.indexOf('.') + 1)))).toEqual([])
})
