// Package guest proves on real kernels what fixtures can only claim: it starts Debian's
// kernels 6.1 and 6.12 in QEMU, by emulation, with the agent inside, makes disks,
// interfaces, mounts and clocks do what they do on other people's machines, and holds what
// the agent says against what the kernel counted.
//
// It has only tests. `make guest` and `make soak` run them all; a plain `go test` runs the short
// form, of five minutes at most, on one kernel. Kernels and tools are Debian packages, unpacked below
// bin/guest and never installed. An emulated processor is slow: counts and states are
// judged, never costs.
//
// Read machine_linux_test.go first, which starts a guest, then a scenario such as
// block_linux_test.go.
package guest
