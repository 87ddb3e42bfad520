// Package bench measures the cost of the whole agent: the real binary at one reading per
// second, by the kernel's CPU accounting, beside a minimal program that reads the same
// files in the same seconds.
//
// It has only tests. `make bench` runs it for about twenty minutes and prints a table
// with the budgets; a plain `go test` runs for a minute to check the measurement itself.
// A high cost does not fail a test, because it depends on the machine and its load; an
// invalid measurement does. Benchmarks of single functions are beside the functions.
//
// Read cost_linux_test.go first; stack_linux_test.go measures the other programs of
// `make stack`, and peers_linux_test.go what others run in the agent's place
// (`make bench-peers`).
package bench
