import type { Signal } from '@preact/signals'
import { type RefObject } from 'preact'
import { useEffect } from 'preact/hooks'

// useDismiss closes what is open over the page on Escape, or on a press elsewhere.
export function useDismiss(isOpen: Signal<boolean>, root: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    if (!isOpen.value) return
    const close = (e: Event) => {
      if (e instanceof KeyboardEvent ? e.key === 'Escape' : !root.current?.contains(e.target as Node)) {
        isOpen.value = false
        if (e instanceof KeyboardEvent) e.preventDefault() // It closes nothing else.
      }
    }
    addEventListener('keydown', close)
    addEventListener('pointerdown', close)
    return () => {
      removeEventListener('keydown', close)
      removeEventListener('pointerdown', close)
    }
  }, [isOpen.value])
}
