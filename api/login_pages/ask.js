// ask sends a JSON document to the agent and returns the response, or throws an
// Error whose message is for people.
export async function ask(method, path, body) {
  let response
  try {
    response = await fetch(path, {
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

// refresh renews a session whose access token has expired.
export const refresh = () => ask('POST', '/api/v1/auth/refresh', { cookie: true })

// next returns where to go after the login: a path of this server, or the dashboard.
export function next() {
  const wanted = new URLSearchParams(location.search).get('next') || ''
  try {
    const url = new URL(wanted, location.origin)
    if (wanted.startsWith('/') && url.origin === location.origin && !['/login', '/setup'].includes(url.pathname)) {
      return url.pathname + url.search + url.hash
    }
  } catch {
    // Not a URL.
  }
  return '/'
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
