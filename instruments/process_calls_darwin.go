//go:build !cgo

package instruments

// perProcessCalls reports whether gopsutil asks the system itself for each
// process. In a build for macOS without cgo it starts ps(1) three times for each
// process: hundreds of programs at every tick are worse than no process table.
const perProcessCalls = false
