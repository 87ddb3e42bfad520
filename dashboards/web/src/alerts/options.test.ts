import { expect, it } from 'vitest'
import { fieldsOf, fresh, hidden, kindOf, kinds, optionsOf } from './options'

it('writes a new channel of each kind', () => {
  expect(optionsOf('slack', { url: ' https://hooks.example/x ', channel: '' })).toBe('{"slack":{"url":"https://hooks.example/x"}}')
  expect(JSON.parse(optionsOf('email', { ...fresh.email, server: 'm.example:587', from: 'a@example.org', to: 'b@example.org, c@example.org,' }))).toEqual({ email: { server: 'm.example:587', tls: 'starttls', from: 'a@example.org', to: ['b@example.org', 'c@example.org'] } })
  expect(JSON.parse(optionsOf('webhook', { url: 'https://h.example', authorization: 'Bearer x' }))).toEqual({ webhook: { url: 'https://h.example', headers: { Authorization: 'Bearer x' } } })
  expect(optionsOf('log', { file: 'a.log' })).toBe('{"log":{"file":"a.log"}}')
  expect(optionsOf('receiver', { yaml: 'telegram_configs:\n- chat_id: 1' })).toBe('receiver:\n  telegram_configs:\n  - chat_id: 1\n')
})

it('keeps secrets and what it does not show', () => {
  const before = { max_per_hour: 5, webhook: { url: hidden, headers: { Authorization: hidden, 'X-Team': hidden } } }
  const fields = fieldsOf(before)
  expect(kindOf(before)).toBe('webhook')
  expect(fields).toEqual({ url: hidden, authorization: hidden })
  expect(JSON.parse(optionsOf('webhook', { ...fields, url: 'https://new.example' }, before))).toEqual({ max_per_hour: 5, webhook: { url: 'https://new.example', headers: { Authorization: hidden, 'X-Team': hidden } } })
  // Another kind has nothing of the one before.
  expect(JSON.parse(optionsOf('log', fresh.log, before))).toEqual({ max_per_hour: 5, log: { file: 'alerts.log' } })
})

it('reads what it writes', () => {
  for (const kind of kinds) {
    if (kind === 'receiver') continue
    const fields = Object.fromEntries(Object.keys(fresh[kind]).map((name) => [name, name === 'tls' ? 'tls' : `x-${name}`]))
    expect(fieldsOf(JSON.parse(optionsOf(kind, fields)))).toEqual(fields)
  }
})

it('takes strange options', () => {
  expect(fieldsOf({ email: { to: 'x', server: null } })).toEqual(fresh.email)
  expect(fieldsOf({ slack: 'x' })).toEqual(fresh.slack)
  expect(fieldsOf({})).toEqual({ yaml: '' })
})
