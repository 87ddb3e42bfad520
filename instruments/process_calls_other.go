//go:build !linux && !(darwin && !cgo)

package instruments

// perProcessCalls reports whether gopsutil asks the system itself for each process.
const perProcessCalls = true
