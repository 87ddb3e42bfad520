// ask sends a document to the agent and returns its answer, or throws what is
// wrong as a sentence for people.
export async function ask(method, path, body) {
  let response
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
  } catch {
    throw new Error('The agent does not answer. Is it running?')
  }
  const answer = await response.json().catch(() => ({}))
  if (!response.ok) {
    const wait = response.headers.get('Retry-After')
    const error = new Error((answer.detail || `The agent answered ${response.status}.`) + (wait ? ` Try again in ${wait} s.` : ''))
    error.status = response.status
    throw error
  }
  return answer
}

// refresh goes on with a session whose access has run out.
export const refresh = () => ask('POST', '/api/v1/auth/refresh', { cookie: true })

// next is where to go after a log-in: a path of this server, or the dashboard.
export function next() {
  const wanted = new URLSearchParams(location.search).get('next') || ''
  try {
    const url = new URL(wanted, location.origin)
    if (wanted.startsWith('/') && url.origin === location.origin && !['/login', '/setup'].includes(url.pathname)) {
      return url.pathname + url.search + url.hash
    }
  } catch {
    // No address at all.
  }
  return '/'
}

// submit has a form send what send makes of it, once at a time, and shows what
// is wrong below its fields.
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
