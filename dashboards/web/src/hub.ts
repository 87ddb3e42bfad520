import type { FromWorker, ToWorker } from './source'

// Hub hands one stream to all windows that are seen. There is none while nobody looks.

// A window that has not been heard of for so long is gone, in milliseconds.
const lost = 90_000

interface Port {
  onmessage: ((e: MessageEvent<ToWorker>) => void) | null
  postMessage: (m: FromWorker) => void
}

// Events is what an EventSource has of use here.
export interface Events {
  readonly readyState: number
  addEventListener: (name: string, f: (e: Event) => void) => void
  close: () => void
}
const ended = 2 // EventSource.CLOSED

export class Hub {
  private events: Events | null = null
  private isOpen = false
  private newest: string | null = null
  // watching are the windows, with when they were last heard of.
  private readonly watching = new Map<Port, number>()

  constructor(private readonly open: (url: string) => Events) {}

  add(port: Port): void {
    port.onmessage = ({ data }) => { this.take(port, data) }
  }

  private take(port: Port, m: ToWorker): void {
    if (m.kind === 'leave') {
      this.watching.delete(port)
      this.rest()
      return
    }
    if (m.kind === 'here') {
      if (this.watching.has(port)) this.watching.set(port, Date.now())
      return
    }
    this.watching.set(port, Date.now())
    if (!this.events) this.start(m.url)
    // Who comes later begins with the newest reading, as with a stream of its own.
    if (this.isOpen) port.postMessage({ kind: 'opened' })
    if (this.isOpen && this.newest !== null) port.postMessage({ kind: 'reading', text: this.newest })
  }

  private start(url: string): void {
    const events = (this.events = this.open(url))
    this.isOpen = false
    this.newest = null
    events.addEventListener('open', () => {
      this.isOpen = true
      this.tell({ kind: 'opened' })
    })
    events.addEventListener('reading', (e) => {
      this.newest = (e as MessageEvent<string>).data
      this.tell({ kind: 'reading', text: this.newest })
    })
    events.addEventListener('error', () => {
      if (this.events !== events) return
      this.isOpen = false
      const isEnded = events.readyState === ended
      if (isEnded) this.events = null
      this.tell({ kind: 'failed', ended: isEnded })
    })
  }

  private tell(m: FromWorker): void { for (const port of this.watching.keys()) port.postMessage(m) }

  // rest ends the stream when nobody watches.
  private rest(): void {
    if (this.watching.size > 0) return
    this.events?.close()
    this.events = null
    this.isOpen = false
  }

  // sweep forgets windows that are gone without a word.
  sweep(now: number): void {
    for (const [port, heard] of this.watching) if (now - heard > lost) this.watching.delete(port)
    this.rest()
  }
}
