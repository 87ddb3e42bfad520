// Command build builds the real programs that tests and make targets use and
// prints their paths, one a line, in the order they were asked for:
//
//	go run ./otel-collector/programs/build otelcol prometheus promtool
//
// Programs that are there already are not built again. It is a door for the
// Makefile and has no logic of its own; package programs has.
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

// run builds the named programs one after the other: each build uses all
// processors by itself.
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
