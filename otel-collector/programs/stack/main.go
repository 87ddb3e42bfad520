// Command stack runs the whole stack without Docker, for `make stack`: four
// VictoriaMetrics nodes, the Collector, Prometheus and the agent, all real and
// built from pinned modules. It stays in the foreground; Ctrl-C stops everything.
//
// It is for trying the stack and for development. In production use docker-compose.yml
// or a service manager: here, if one program ends, all are stopped.
//
// Read parts.go first, which lists the programs; run.go starts and stops them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"sysotel/otel-collector/programs"
)

func main() {
	s := stack{output: os.Stderr}
	flag.StringVar(&s.root, "root", ".", "directory of the repository")
	flag.StringVar(&s.folder, "folder", filepath.Join("bin", "stack"), "directory of logs and data")
	flag.StringVar(&s.agent, "agent", filepath.Join("bin", "sysotel"), "the agent's program")
	flag.IntVar(&s.shift, "shift", 0, "added to the number of every port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx, &s); err != nil {
		fmt.Fprintf(os.Stderr, "stack: %v\n", err)
		os.Exit(1)
	}
}

// stack is the configuration of the stack.
type stack struct {
	root, folder, agent string
	shift               int
	output              io.Writer
}

// start runs the stack until the context ends or one of its parts does.
func start(ctx context.Context, s *stack) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected arguments %q; see -help", flag.Args())
	}
	tools := map[string]string{}
	for _, name := range []string{"victoria-metrics", "otelcol", "prometheus"} {
		path, err := programs.Build(ctx, s.root, name, s.output)
		if err != nil {
			return err
		}
		tools[name] = path
	}
	parts, err := s.parts(tools)
	if err != nil {
		return err
	}
	return s.run(ctx, parts)
}
