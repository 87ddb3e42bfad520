import { languages, stored } from '../choice'
import { en, type Word } from './en'
import { ko } from './ko'

export type { Word }

// The language that was chosen, or the browser's preferred one among ours.
const chosen = stored('language', languages)
export const language: 'en' | 'ko' = chosen !== 'auto' ? chosen : (navigator.languages ?? [navigator.language]).map((l) => l.slice(0, 2)).find((l) => l === 'en' || l === 'ko') === 'ko' ? 'ko' : 'en'

export function fill(text: string, values: Record<string, string | number> = {}): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole))
}

const words: Record<string, string> = language === 'ko' ? { ...en, ...ko } : en

// t returns a text with its values filled in.
export const t = (word: Word, values?: Record<string, string | number>): string => fill(words[word] ?? en[word], values)

// titleOf returns the title of a panel or board; panels.json has it in English.
export const titleOf = (kind: 'panel' | 'board', id: string, title: string): string => words[`${kind}.${id}`] ?? title

// explanationOf returns the explanation of a panel.
export const explanationOf = (id: string, explain: string): string => words[`explain.${id}`] ?? explain
