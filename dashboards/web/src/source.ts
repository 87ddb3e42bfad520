// A Source is where the page gets its readings from: a stream of its own, or one that all
// windows of a browser share.

export interface Source {
  close: () => void
}

export interface Listener {
  opened: () => void
  reading: (text: string) => void
  // failed says that the stream broke; ended: it does not come back by itself.
  failed: (ended: boolean) => void
}

// What windows and the worker tell each other.
export type ToWorker = { kind: 'watch'; url: string } | { kind: 'here' } | { kind: 'leave' }
export type FromWorker = { kind: 'opened' } | { kind: 'reading'; text: string } | { kind: 'failed'; ended: boolean }

// alive is how often a window says to the worker that it is still there, in seconds.
const alive = 20

export function openSource(url: string, listener: Listener): Source {
  return shared(url, listener) ?? own(url, listener)
}

function own(url: string, listener: Listener): Source {
  const events = new EventSource(url)
  events.addEventListener('open', listener.opened)
  events.addEventListener('reading', (e) => { listener.reading((e as MessageEvent<string>).data) })
  events.addEventListener('error', () => { listener.failed(events.readyState === EventSource.CLOSED) })
  return { close: () => { events.close() } }
}

// shared returns null where a browser has no such workers, as on Android.
function shared(url: string, listener: Listener): Source | null {
  if (typeof SharedWorker === 'undefined') return null
  let worker: SharedWorker
  try {
    worker = new SharedWorker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'sysotel' })
  } catch {
    return null // A browser may forbid it.
  }
  const { port } = worker
  const tell = (m: ToWorker) => { port.postMessage(m) }
  let source: Source | null = null // The page's own, if the worker cannot start.
  worker.addEventListener('error', () => { source ??= own(url, listener) })
  port.onmessage = ({ data: m }: MessageEvent<FromWorker>) => {
    if (m.kind === 'opened') listener.opened()
    else if (m.kind === 'reading') listener.reading(m.text)
    else listener.failed(m.ended)
  }
  const leave = () => { tell({ kind: 'leave' }) }
  addEventListener('pagehide', leave)
  const timer = setInterval(() => { tell({ kind: 'here' }) }, alive * 1000)
  tell({ kind: 'watch', url: new URL(url, location.href).href })
  return {
    close: () => {
      clearInterval(timer)
      removeEventListener('pagehide', leave)
      leave()
      port.close()
      source?.close()
    },
  }
}
