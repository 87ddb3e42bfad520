// Package wine runs the agent for Windows under Wine: it starts, reads, keeps, is killed
// and started again, serves its page, and is a service of Wine's service manager. What it
// reads is held against what a program of the tests' own measures by Windows' calls.
//
// It has only tests. Wine is no Windows: it counts no disk operations and no bytes of
// processes, which must then be unknown, and cost nothing else.
//
// Read agent_linux_test.go first, then prefix_linux_test.go.
package wine
