import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { en } from './en'

const root = new URL('..', import.meta.url)
const source = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.tsx?$/.test(name) && !name.endsWith('.test.ts') && !name.startsWith('i18n'))
  .map((name) => readFileSync(new URL(name, root), 'utf8'))
  .join('\n')

const quoted = new Set([...source.matchAll(/(['"])([\w.]+)\1/g)].map((m) => m[2]))
// Composed words, such as `event.${kind}`: the variable part must be quoted somewhere too.
const composed = [...source.matchAll(/`(\w+\.(?:\w+\.)*)\$\{[^`}]+\}((?:\.\w+)*)`/g)].map((m) => new RegExp(`^${m[1]!.replaceAll('.', '\\.')}([\\w.]+)${m[2]!.replaceAll('.', '\\.')}$`))

const isUsed = (word: string): boolean => quoted.has(word) || composed.some((c) => quoted.has(c.exec(word)?.[1] ?? ''))

it('has no unused words', () => {
  expect(Object.keys(en).filter((word) => !isUsed(word))).toEqual([])
})

it('would find one', () => {
  for (const used of ['page.overview', 'event.start', 'processes.read.span', 'state.offline']) expect(isUsed(used), used).toBe(true)
  for (const unused of ['page.nowhere', 'event.earthquake', 'time.never', 'processes.read.span.no']) expect(isUsed(unused), unused).toBe(false)
})
