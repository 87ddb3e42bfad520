#!/bin/bash
# prometheus/procfs: a clustered RAID array that another node resyncs hides every array of the host.
#
# Version:  github.com/prometheus/procfs v0.22.0.
# Expected: where an array has no progress, the kernel's md driver writes a word after the equals
#           sign: PENDING, DELAYED or, if a cluster's other node does the work, REMOTE. procfs takes
#           the first two as a resync at 0 blocks; the third should be no different.
# Observed: resync=REMOTE and reshape=REMOTE make MDStat fail for the whole file, so the healthy
#           md1 is lost too. recover=REMOTE reads as a plain "active".
# Output:   resync=PENDING: 2 arrays, failed false, md1 active 1046528/1046528, md0 resyncing 0/1046528
#           resync=DELAYED: 2 arrays, failed false, md1 active 1046528/1046528, md0 resyncing 0/1046528
#           resync=REMOTE: 0 arrays, failed true
#           recover=REMOTE: 2 arrays, failed false, md1 active 1046528/1046528, md0 active 1046528/1046528
#           reshape=REMOTE: 0 arrays, failed true
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require github.com/prometheus/procfs v0.22.0
E
cat > main.go <<'E'
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/procfs"
)

func main() {
	for _, progress := range []string{"resync=PENDING", "resync=DELAYED", "resync=REMOTE", "recover=REMOTE", "reshape=REMOTE"} {
		dir, err := os.MkdirTemp(".", "")
		if err != nil {
			panic(err)
		}
		mdstat := "Personalities : [raid1] \n" +
			"md1 : active raid1 sdd1[1] sdc1[0]\n" +
			"      1046528 blocks super 1.2 [2/2] [UU]\n" +
			"      \n" +
			"md0 : active raid1 sdb1[1] sda1[0]\n" +
			"      1046528 blocks super 1.2 [2/2] [UU]\n" +
			"      \t" + progress + "\n" +
			"      bitmap: 1/1 pages [4KB], 65536KB chunk\n" +
			"\n" +
			"unused devices: <none>\n"
		if err := os.WriteFile(filepath.Join(dir, "mdstat"), []byte(mdstat), 0o600); err != nil {
			panic(err)
		}
		fs, err := procfs.NewFS(dir)
		if err != nil {
			panic(err)
		}
		arrays, err := fs.MDStat()
		fmt.Printf("%s: %d arrays, failed %v", progress, len(arrays), err != nil)
		for _, array := range arrays {
			fmt.Printf(", %s %s %d/%d", array.Name, array.ActivityState, array.BlocksSynced, array.BlocksTotal)
		}
		fmt.Println()
	}
}
E
output=$(GOFLAGS=-mod=mod go run .)
observed='resync=PENDING: 2 arrays, failed false, md1 active 1046528/1046528, md0 resyncing 0/1046528
resync=DELAYED: 2 arrays, failed false, md1 active 1046528/1046528, md0 resyncing 0/1046528
resync=REMOTE: 0 arrays, failed true
recover=REMOTE: 2 arrays, failed false, md1 active 1046528/1046528, md0 active 1046528/1046528
reshape=REMOTE: 0 arrays, failed true'
echo 'version:  github.com/prometheus/procfs v0.22.0'
echo 'expected: REMOTE is a resync without progress, as PENDING and DELAYED are'
echo 'observed: resync=REMOTE and reshape=REMOTE fail the read of all arrays'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
