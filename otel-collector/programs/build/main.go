// Command build builds the real programs that tests and make targets use and
// prints their paths, one per line, in the order of the arguments:
//
//	go run ./otel-collector/programs/build otelcol prometheus promtool
//
// It does not build a program again that exists. It is package programs' command line
// for the Makefile.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"sysotel/otel-collector/programs"
)

func main() {
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprintf(os.Stderr, "usage: build NAME...\nnames: %s\n", strings.Join(programs.Names(), " "))
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n", err)
		os.Exit(1)
	}
}

// run builds the named programs one after the other, as each build uses all processors.
func run(names []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, name := range names {
		path, err := programs.Build(ctx, ".", name, os.Stderr)
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}
