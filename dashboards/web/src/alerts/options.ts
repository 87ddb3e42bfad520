// The options of a channel as the page's form has them, and as the API takes them: JSON,
// which is YAML, of one of the kinds.

export const kinds = ['slack', 'email', 'webhook', 'log', 'receiver'] as const
export type Kind = (typeof kinds)[number]

// hidden stands for a secret that is not shown, and that stays as it is when it is sent.
export const hidden = '<secret>'

export type Fields = Record<string, string>

// fresh are the fields of a new channel.
export const fresh: Record<Kind, Fields> = {
  slack: { url: '', channel: '' },
  email: { server: '', tls: 'starttls', from: '', to: '', username: '', password: '' },
  webhook: { url: '', authorization: '' },
  log: { file: 'alerts.log' },
  receiver: { yaml: '' },
}

type Options = Record<string, unknown>

const text = (value: unknown): string => (typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '')
const object = (value: unknown): Options => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Options) : {})

// kindOf is the kind of a channel.
export const kindOf = (options: Options): Kind => kinds.find((kind) => kind in options) ?? 'receiver'

// fieldsOf reads options into fields. A receiver has none: what it says is not shown.
export function fieldsOf(options: Options): Fields {
  const kind = kindOf(options)
  const all = object(options[kind])
  if (kind === 'receiver') return { yaml: '' }
  const fields = { ...fresh[kind] }
  for (const name of Object.keys(fields)) fields[name] = text(all[name])
  if (kind === 'email') {
    fields.to = (Array.isArray(all.to) ? all.to : []).map(text).join(', ')
    fields.tls ||= 'starttls'
  }
  if (kind === 'webhook') fields.authorization = text(object(all.headers).Authorization)
  return fields
}

// optionsOf writes fields as options. What the form does not show of a channel before is
// kept.
export function optionsOf(kind: Kind, fields: Fields, before: Options = {}): string {
  if (kind === 'receiver') return `receiver:\n${(fields.yaml ?? '').replace(/^/gm, '  ')}\n`
  const { [kind]: was, ...others } = before
  for (const other of kinds) if (other !== kind) delete others[other]
  const next: Options = { ...object(was) }
  const set = (name: string, value: unknown) => {
    if (value === '' || (Array.isArray(value) && value.length === 0)) delete next[name]
    else next[name] = value
  }
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'to') set(name, value.split(',').map((one) => one.trim()).filter(Boolean))
    else if (name === 'authorization') {
      const { Authorization: _, ...headers } = object(next.headers)
      const all = value === '' ? headers : { ...headers, Authorization: value }
      set('headers', Object.keys(all).length === 0 ? '' : all)
    } else set(name, value.trim())
  }
  return JSON.stringify({ ...others, [kind]: next })
}
