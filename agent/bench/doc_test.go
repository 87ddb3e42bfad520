// Package bench measures what the whole agent costs: the real binary with a
// data directory of its own, at one reading a second, by the kernel's own
// account, beside the bare reading of the same files in the same seconds.
//
// It holds tests only. `make bench` runs it for some twenty minutes and prints
// a table with the budgets; a plain `go test` runs a form of a minute that
// shows that the measurement works. No figure fails a test, because a figure
// depends on the machine and on who else uses it; a run that did not measure
// what it says does. Benchmarks of single functions stand beside the functions.
//
// Read cost_linux_test.go first; stack_linux_test.go measures the parts of `make
// stack` beside the agent.
package bench
