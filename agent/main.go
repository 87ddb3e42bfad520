// Command sysotel measures the resources of one machine; see package command for its
// command line and package app for the agent.
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
	limitRuntime()
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

// limitRuntime limits the Go runtime to two processors, and collects garbage twice as
// often as by default, which saves about 5 MB for 0.05 % of a processor. GOMAXPROCS and
// GOGC override it. The limit of memory is package app's, which knows memory.limit and what
// is alive.
func limitRuntime() {
	const garbage = 50
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(2, runtime.NumCPU()))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
}
