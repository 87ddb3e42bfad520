import { expect, it } from 'vitest'
import { type Events, Hub } from './hub'
import type { FromWorker, ToWorker } from './source'

class Stream implements Events {
  readyState = 1
  closed = false
  private readonly on = new Map<string, (e: Event) => void>()
  addEventListener(name: string, f: (e: Event) => void) { this.on.set(name, f) }
  close() { this.closed = true }
  fire(name: string, data = '') { this.on.get(name)?.({ data } as unknown as Event) }
}

function start() {
  const streams: Stream[] = []
  const hub = new Hub(() => { const s = new Stream(); streams.push(s); return s })
  const window = () => {
    const got: FromWorker[] = []
    const port = { onmessage: null as ((e: MessageEvent<ToWorker>) => void) | null, postMessage: (m: FromWorker) => { got.push(m) } }
    hub.add(port)
    const say = (m: ToWorker) => port.onmessage?.({ data: m } as MessageEvent<ToWorker>)
    return { got, say, watch: () => say({ kind: 'watch', url: '/stream' }) }
  }
  return { hub, streams, window }
}

it('has one stream for all windows', () => {
  const { streams, window } = start()
  const windows = Array.from({ length: 10 }, window)
  windows[0]!.watch()
  streams[0]!.fire('open')
  streams[0]!.fire('reading', 'one')
  for (const w of windows.slice(1)) w.watch()
  streams[0]!.fire('reading', 'two')
  expect(streams).toHaveLength(1)
  for (const w of windows) expect(w.got).toEqual([{ kind: 'opened' }, { kind: 'reading', text: 'one' }, { kind: 'reading', text: 'two' }])
})

it('has none while nobody looks', () => {
  const { streams, window } = start()
  const [a, b] = [window(), window()]
  a.watch()
  b.watch()
  a.say({ kind: 'leave' })
  expect(streams[0]!.closed).toBe(false)
  b.say({ kind: 'leave' })
  expect(streams[0]!.closed).toBe(true)
  a.watch()
  expect(streams).toHaveLength(2)
})

it('forgets a window that is gone without a word', () => {
  const { hub, streams, window } = start()
  window().watch()
  hub.sweep(Date.now() + 60_000)
  expect(streams[0]!.closed).toBe(false)
  hub.sweep(Date.now() + 100_000)
  expect(streams[0]!.closed).toBe(true)
})

it('reports a failure, and begins anew when it is asked', () => {
  const { streams, window } = start()
  const w = window()
  w.watch()
  streams[0]!.fire('error') // The browser tries again itself.
  streams[0]!.readyState = 2
  streams[0]!.fire('error')
  expect(w.got).toEqual([{ kind: 'failed', ended: false }, { kind: 'failed', ended: true }])
  w.watch()
  expect(streams).toHaveLength(2)
})
