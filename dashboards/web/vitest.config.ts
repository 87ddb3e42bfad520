import { defineConfig } from 'vitest/config'

// The pure parts, without a browser; what needs one is in dashboards/browser.
export default defineConfig({ test: { include: ['src/**/*.test.ts'] } })
