// Command fleet simulates hosts that push to a Collector, to find out how many an
// installation holds:
//
//	go run ./otel-collector/programs/fleet -hosts 1000 -every 15s -for 5m -endpoint 127.0.0.1:4317 -node http://127.0.0.1:8428
//
// Each host has a connection of its own and sends what an agent sends: a push that was
// captured from one, with another host name, another time and other values. What is not
// acknowledged is sent again. In the end it prints what was acknowledged, refused, lost
// and still waits.
//
// Read fleet.go first, which pushes; push.go makes the requests, check.go asks a node
// for what arrived, capture.go captures a push.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "fleet: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var f fleet
	flag.IntVar(&f.hosts, "hosts", 10, "number of hosts")
	flag.DurationVar(&f.every, "every", 15*time.Second, "interval of each host's pushes, at least 1s")
	flag.DurationVar(&f.length, "for", time.Minute, "how long the hosts push")
	flag.DurationVar(&f.ramp, "ramp", 0, "over how long the hosts appear")
	flag.DurationVar(&f.patience, "patience", 30*time.Second, "how long to send again afterwards what was not acknowledged")
	flag.StringVar(&f.endpoint, "endpoint", "127.0.0.1:4317", "OTLP receiver (gRPC)")
	flag.StringVar(&f.prefix, "prefix", "fleet", "the hosts are named PREFIX-0, PREFIX-1, …")
	flag.BoolVar(&f.together, "together", false, "all hosts push in the same moment instead of spread over the interval")
	node := flag.String("node", "", "URL of the VictoriaMetrics node to ask for what arrived")
	file := flag.String("capture", "", "instead of pushing, listen at -endpoint and write the 10th push of an agent to this file")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected arguments %q; see -help", flag.Args())
	}
	if *file != "" {
		return capture(ctx, f.endpoint, *file)
	}
	r, err := f.run(ctx)
	if err != nil {
		return err
	}
	fmt.Print(r)
	if *node == "" {
		return nil
	}
	a, err := arrived(ctx, *node, f.prefix)
	if err != nil {
		return err
	}
	fmt.Print(a.compare(r))
	return nil
}
