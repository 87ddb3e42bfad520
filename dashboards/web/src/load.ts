import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { Failure } from './api/client'
import { asFailure } from './parts/failed'
import { seen } from './stream'

// A document of the agent that a page shows and keeps up to date.

export interface Loaded<T> {
  body: T | null
  failure: Failure | null
  again: () => void
}

// useLoad loads immediately, after a change of `on`, and every so many seconds; 0 for never.
export function useLoad<T>(ask: (signal: AbortSignal) => Promise<T>, every = 0, on: unknown[] = []): Loaded<T> {
  const body = useSignal<T | null>(null)
  const failure = useSignal<Failure | null>(null)
  const beat = useSignal(0)
  const again = () => { beat.value++ }
  useEffect(() => {
    const asking = new AbortController()
    ask(asking.signal).then(
      (found) => { body.value = found; failure.value = null },
      (e: unknown) => { if (!asking.signal.aborted) failure.value = asFailure(e) },
    )
    return () => { asking.abort() }
  }, [beat.value, ...on])
  useEffect(() => {
    if (every === 0) return
    const timer = setInterval(() => { if (seen.value) again() }, every * 1000)
    return () => { clearInterval(timer) }
  }, [every])
  return { body: body.value, failure: failure.value, again }
}
