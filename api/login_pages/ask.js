// base is the path below which the agent is served, such as /sysotel behind a reverse
// proxy, '' for the root: that of the folder with this script.
export const base = new URL('..', import.meta.url).pathname.slice(0, -1)

// ask sends a JSON document to the agent and returns the response, or throws an
// Error whose message is for people.
export async function ask(method, path, body) {
  let response
  try {
    response = await fetch(base + path, {
      method,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
  } catch {
    throw new Error('The agent is not responding. Is it running?')
  }
  const data = await response.json().catch(() => ({}))
  if (!response.ok) {
    const wait = response.headers.get('Retry-After')
    const error = new Error((data.detail || `The agent answered ${response.status}.`) + (wait ? ` Try again in ${wait} s.` : ''))
    error.status = response.status
    throw error
  }
  return data
}

// refresh renews a session whose access token has expired, once for all tabs: they
// share its cookies. The dashboard does the same under the same lock (api/client.ts).
export const refresh = () => alone(async () => {
  const me = await ask('GET', '/api/v1/auth/me').catch((e) => ({ can_refresh: e.status === 401 }))
  if (me.kind === 'user' || me.kind === 'proxy') return // Another tab was first, or the proxy logs in.
  if (!me.can_refresh) throw new Error('There is no session.')
  try {
    await ask('POST', '/api/v1/auth/refresh', { cookie: true })
  } catch (e) {
    if (e.status !== 409) throw e
    await new Promise((resolve) => setTimeout(resolve, 1000)) // The new cookies are on their way to another tab.
    await ask('GET', '/api/v1/auth/me')
  }
})

// Browsers offer locks over TLS and on loopback.
const alone = (work) => navigator.locks ? navigator.locks.request('sysotel-refresh', work) : work()

// next returns where to go after the login: an address of this server, which next in the
// query has without the base, or the dashboard. It is whole, because a path alone may
// name another server (//host).
export function next() {
  try {
    const url = new URL(base + (new URLSearchParams(location.search).get('next') ?? '/'), location.origin)
    // The origin of a blob: is that of its maker.
    if (url.origin === location.origin && url.protocol === location.protocol && url.pathname.startsWith(base + '/') && ![base + '/login', base + '/setup'].includes(url.pathname)) {
      return location.origin + url.pathname + url.search + url.hash
    }
  } catch {
    // Not a URL.
  }
  return location.origin + base + '/'
}

// submit makes a form call send, one request at a time, and shows errors below
// its fields.
export function submit(form, send) {
  const error = form.querySelector('[role=alert]')
  const button = form.querySelector('button[type=submit]')
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    error.textContent = ''
    button.disabled = true
    try {
      await send(new FormData(form))
      location.replace(next())
    } catch (e) {
      error.textContent = e.message
      button.disabled = false
      form.querySelector('input[type=password]').select()
    }
  })
}
