#!/bin/bash
# client_golang: process_network_receive_bytes_total counts the traffic of the other processes.
#
# Version:  github.com/prometheus/client_golang v1.24.1, Linux.
# Expected: "Number of bytes received by the process over the network", as the metric's help says; a
#           process without sockets stays at zero, as process_cpu_seconds_total would.
# Observed: the collector reads /proc/<pid>/net/netstat, whose counters are those of the process's
#           network namespace. Another process moves 50 MB over loopback, and the counter of this one,
#           which has sent and received nothing, grows by as much. The sum over the processes of
#           one host counts each byte as often as there are processes.
# Output:   sockets of this process: 0
#           grew by at least the 50000000 bytes of the other process: true
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require github.com/prometheus/client_golang v1.24.1
E
cat > main.go <<'E'
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

const size = 50_000_000

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// transfer moves size bytes over loopback.
func transfer() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		conn, err := listener.Accept()
		check(err)
		_, err = conn.Write(make([]byte, size))
		check(err)
		check(conn.Close())
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	_, err = io.Copy(io.Discard, conn)
	check(err)
}

func received() float64 {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewProcessCollector(prometheus.ProcessCollectorOpts{}))
	families, err := registry.Gather()
	check(err)
	for _, family := range families {
		if family.GetName() == "process_network_receive_bytes_total" {
			return family.Metric[0].GetCounter().GetValue()
		}
	}
	panic("no process_network_receive_bytes_total")
}

func main() {
	if len(os.Args) > 1 {
		transfer()
		return
	}
	before := received()
	check(exec.Command(os.Args[0], "transfer").Run())
	grown := received() - before
	descriptors, err := os.ReadDir("/proc/self/fd")
	check(err)
	sockets := 0
	for _, descriptor := range descriptors {
		if target, err := os.Readlink("/proc/self/fd/" + descriptor.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			sockets++
		}
	}
	fmt.Printf("sockets of this process: %d\n", sockets)
	fmt.Printf("grew by at least the %d bytes of the other process: %v\n", size, grown >= size)
}
E
GOFLAGS=-mod=mod go build -o finding .
output=$(./finding < /dev/null)
observed='sockets of this process: 0
grew by at least the 50000000 bytes of the other process: true'
echo 'version:  github.com/prometheus/client_golang v1.24.1'
echo 'expected: process_network_receive_bytes_total of a process without sockets stays at zero'
echo 'observed: it grows with the traffic of every process of the network namespace'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
