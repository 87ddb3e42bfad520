import { expect, it } from 'vitest'
import { silenceOf, slack } from './silence'

it.each<[string, number | null, number, number, string]>([
  ['just read', 0, 1, slack.own, 'none'],
  ['at the bound', 3, 1, slack.own, 'none'],
  ['just late', 3.2, 1, slack.own, '3 warning'],
  ['gone', 31, 1, slack.own, '31 critical'],
  ['read every minute', 170, 60, slack.own, 'none'],
  ['late by a minute', 200, 60, slack.own, '200 warning'],
  ['gone for minutes', 400, 60, slack.own, '400 critical'],
  ['on its way', 11, 1, slack.other, 'none'],
  ['away', 13, 1, slack.other, '13 warning'],
  ['never seen', null, 1, slack.other, 'null critical'],
])('%s', (_, age, interval, late, want) => {
  const s = silenceOf(age, interval, late)
  expect(s === null ? 'none' : `${s.seconds} ${s.level}`).toBe(want)
})
