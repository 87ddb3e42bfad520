#!/bin/bash
# containerd/cgroups: the statistics of a cgroup that is gone are zeros, without an error, on v2 only.
#
# Version:  github.com/containerd/cgroups/v3 v3.1.3.
# Expected: the two packages of one library agree. cgroup1's Stat fails on a group that is gone,
#           unless its caller passes IgnoreNotExist; cgroup2's Stat has no such option, so it fails.
# Observed: cgroup2's Stat answers a complete message whose counters are all zero, and no error. A
#           reader takes the end of a container for counters that were reset and for no memory in use.
# Output:   cgroup2, there: 5000 us of CPU, 4096 bytes, 3 pids, failed false
#           cgroup2, gone: 0 us of CPU, 0 bytes, 0 pids, failed false
#           cgroup1, gone: failed true
#           cgroup1, gone, IgnoreNotExist: failed false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require github.com/containerd/cgroups/v3 v3.1.3
E
cat > main.go <<'E'
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	root, err := os.MkdirTemp(".", "")
	check(err)
	root, err = filepath.Abs(root)
	check(err)
	group := filepath.Join(root, "group")
	check(os.Mkdir(group, 0o700))
	for name, content := range map[string]string{
		"cpu.stat":       "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\n",
		"memory.current": "4096\n",
		"memory.max":     "max\n",
		"memory.stat":    "anon 4096\nfile 0\n",
		"pids.current":   "3\n",
		"pids.max":       "max\n",
	} {
		check(os.WriteFile(filepath.Join(group, name), []byte(content), 0o600))
	}
	v2, err := cgroup2.Load("/group", cgroup2.WithMountpoint(root))
	check(err)
	show := func(what string) {
		stat, err := v2.Stat()
		fmt.Printf("cgroup2, %s: %d us of CPU, %d bytes, %d pids, failed %v\n", what,
			stat.GetCPU().GetUsageUsec(), stat.GetMemory().GetUsage(), stat.GetPids().GetCurrent(), err != nil)
	}
	show("there")

	pids := filepath.Join(root, "pids", "group")
	check(os.MkdirAll(pids, 0o700))
	v1, err := cgroup1.Load(cgroup1.StaticPath("/group"), cgroup1.WithHierarchy(func() ([]cgroup1.Subsystem, error) {
		return []cgroup1.Subsystem{cgroup1.NewPids(root)}, nil
	}))
	check(err)

	check(os.RemoveAll(group))
	check(os.RemoveAll(pids))
	show("gone")
	_, err = v1.Stat()
	fmt.Printf("cgroup1, gone: failed %v\n", err != nil)
	_, err = v1.Stat(cgroup1.IgnoreNotExist)
	fmt.Printf("cgroup1, gone, IgnoreNotExist: failed %v\n", err != nil)
}
E
output=$(GOFLAGS=-mod=mod go run .)
observed='cgroup2, there: 5000 us of CPU, 4096 bytes, 3 pids, failed false
cgroup2, gone: 0 us of CPU, 0 bytes, 0 pids, failed false
cgroup1, gone: failed true
cgroup1, gone, IgnoreNotExist: failed false'
echo 'version:  github.com/containerd/cgroups/v3 v3.1.3'
echo 'expected: cgroup2.Manager.Stat fails on a group that is gone, as cgroup1 does'
echo 'observed: zeros and no error'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
