import { defineConfig } from 'vitest/config'

// Pure code only; tests that need a browser are in dashboards/browser.
export default defineConfig({ test: { include: ['src/**/*.test.ts'] } })
