// The page to log in.
import { ask, next, refresh, submit } from './ask.js'

submit(document.getElementById('login'), (form) =>
  ask('POST', '/api/v1/auth/login', { name: form.get('name'), password: form.get('password'), cookie: true }))

// A session may live although its access has run out: then nobody need type.
refresh().then(() => location.replace(next()), () => document.getElementById('name').focus())
