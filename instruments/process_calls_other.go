//go:build !linux && !(darwin && !cgo)

package instruments

// perProcessCalls tells whether gopsutil asks the system itself for each process.
const perProcessCalls = true
