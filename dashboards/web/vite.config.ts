import { writeFileSync } from 'node:fs'
import { defineConfig } from 'vite'

// The agent serves what is built here, each file under its hashed name; see
// dashboards/web.go. In development Vite serves the page and hands every
// question on to an agent that runs beside it.
const agent = process.env.SYSOTEL ?? 'http://127.0.0.1:8080'

// The placeholder lets a clone without Node build; it goes with the old files.
const placeholder = {
  name: 'placeholder',
  closeBundle() { writeFileSync('dist/.gitkeep', '') },
}

export default defineConfig({
  plugins: [placeholder],
  build: {
    target: 'es2022',
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    // Nothing is put into the page itself: its policy allows files only.
    assetsInlineLimit: 0,
  },
  server: {
    proxy: Object.fromEntries(['/api', '/prometheus', '/docs', '/login', '/setup', '/entrance'].map((path) => [path, { target: agent, changeOrigin: false }])),
  },
})
