import { Hub } from './hub'

// The worker that all windows of a browser share.

const hub = new Hub((url) => new EventSource(url))
const scope = self as unknown as { onconnect: (e: MessageEvent) => void }
scope.onconnect = (e) => { for (const port of e.ports) hub.add(port) }
setInterval(() => { hub.sweep(Date.now()) }, 30_000)
