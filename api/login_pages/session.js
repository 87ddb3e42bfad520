// Shows the logged-in user and the logout button.
import { ask, base, refresh } from './ask.js'

// again repeats a request after a refresh if the access token has expired.
async function again(method, path) {
  try {
    return await ask(method, path)
  } catch (e) {
    if (e.status !== 401) throw e
    await refresh()
    return ask(method, path)
  }
}

const place = document.getElementById('account')
again('GET', '/api/v1/auth/me').then((me) => {
  place.querySelector('b').textContent = me.name
  place.querySelector('i').textContent = me.role
  place.hidden = false
}, () => location.replace(base + '/login?next=' + encodeURIComponent(location.pathname.startsWith(base + '/') ? location.pathname.slice(base.length) : location.pathname)))

place.querySelector('button').addEventListener('click', async () => {
  await again('POST', '/api/v1/auth/logout').catch(() => undefined) // Without a session there is nothing to end.
  location.replace(base + '/login')
})
