import { readFileSync } from 'node:fs'
import openapi, { astToString } from 'openapi-typescript'
import { expect, it } from 'vitest'

// The generated types match the API; npm run types writes them.
it('matches api/openapi.yaml', async () => {
  const made = astToString(await openapi(new URL('../../../../api/openapi.yaml', import.meta.url)))
  const written = readFileSync(new URL('schema.ts', import.meta.url), 'utf8')
  expect(written.includes(made.trim()), 'src/api/schema.ts is old: run npm run types in dashboards/web').toBe(true)
}, 30_000)
