// The login page.
import { ask, next, refresh, submit } from './ask.js'

submit(document.getElementById('login'), (form) =>
  ask('POST', '/api/v1/auth/login', { name: form.get('name'), password: form.get('password'), cookie: true }))

document.getElementById('name').focus()

// If only the access token has expired, the session can continue without a password.
refresh().then(() => location.replace(next()), () => undefined)
