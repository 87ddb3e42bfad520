// Choices that the page reads once, when it is loaded: its language and its clock.

// stored is what was chosen in this browser, the first of the allowed where nothing was.
export function stored<T extends string>(name: string, allowed: readonly T[]): T {
  try {
    const found = localStorage.getItem(`sysotel.${name}`)
    return allowed.find((one) => one === found) ?? allowed[0]!
  } catch {
    return allowed[0]! // No storage.
  }
}

export const languages = ['auto', 'en', 'ko'] as const
export const clocks = ['h23', 'h12'] as const
