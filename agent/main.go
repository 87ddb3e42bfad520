// Command sysotel measures one machine's resources; see package command for
// its command line and package app for the agent.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"sysotel/agent/command"
)

// version is set by the linker, see the Makefile.
var version = "development"

func main() {
	beModest()
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	code := command.Main(command.Call{
		Args: os.Args[1:], Env: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Version: version, Stop: stop, Reload: reload,
	})
	cancel()
	os.Exit(code)
}

// beModest keeps the agent a polite guest: two processors are enough for it,
// the garbage collector works twice as often as it is used to, which costs a
// twentieth of a percent of a processor and saves some 5 MB, and a soft memory
// limit has it work before the memory is gone. GOMAXPROCS, GOGC and GOMEMLIMIT
// win.
func beModest() {
	const (
		memory  = 256 << 20
		garbage = 50
	)
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(2, runtime.NumCPU()))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
}
