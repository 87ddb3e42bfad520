// The page to create the first administrator.
import { ask, submit } from './ask.js'

const code = location.hash.slice(1)
// The code works only once; keep it out of the browser's history.
history.replaceState(null, '', location.pathname)

const form = document.getElementById('setup')
form.hidden = code === ''
document.getElementById('no-code').hidden = code !== ''
if (code !== '') {
  document.getElementById('name').focus()
}

submit(form, (fields) => {
  if (fields.get('password') !== fields.get('again')) {
    throw new Error('The passwords do not match.')
  }
  return ask('POST', '/api/v1/auth/setup', { code, name: fields.get('name'), password: fields.get('password'), cookie: true })
})
