import { writeFileSync } from 'node:fs'
import { defineConfig } from 'vite'

// The agent serves the built files under their hashed names; see
// dashboards/web.go. In development Vite serves the page and proxies requests to
// a running agent.
const agent = process.env.SYSOTEL ?? 'http://127.0.0.1:8080'

// The placeholder lets a clone without Node build; emptyOutDir deletes it.
const placeholder = {
  name: 'placeholder',
  closeBundle() { writeFileSync('dist/.gitkeep', '') },
}

export default defineConfig({
  // Relative addresses: a reverse proxy may serve the agent below a path.
  base: './',
  plugins: [placeholder],
  build: {
    target: 'es2022',
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    // The content security policy allows files only.
    assetsInlineLimit: 0,
  },
  server: {
    proxy: Object.fromEntries(['/api', '/prometheus', '/docs', '/login', '/setup'].map((path) => [path, { target: agent, changeOrigin: false }])),
  },
})
