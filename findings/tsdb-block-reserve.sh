#!/bin/bash
# Prometheus' TSDB: a block of a few kilobytes is not written where less than 512 MiB are free.
#
# Version:  github.com/prometheus/prometheus v0.315.0. Needs root, for a file system of its own.
# Expected: a block of 120 samples takes some kilobytes, so 64 MiB of space are plenty for it.
# Observed: the writer of chunks reserves a whole segment of 512 MiB with fallocate before the first
#           one and cuts it afterwards: compaction fails with ENOSPC, again and again, while the head
#           grows. Options.MaxBlockChunkSegmentSize is what it reserves; at 8 MiB the block is there.
# Output:   segments of the default: 0 blocks, no space left on device
#           segments of 8 MiB: 1 blocks
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require github.com/prometheus/prometheus v0.315.0
E
cat > main.go <<'E'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// compact writes two hours of samples, a minute apart, and makes a block of them.
func compact(dir string, segment int64) string {
	o := tsdb.DefaultOptions()
	o.WALSegmentSize = 1 << 20
	if segment > 0 {
		o.MaxBlockChunkSegmentSize = segment
	}
	db := must(tsdb.Open(dir, nil, nil, o, nil))
	defer db.Close()
	db.DisableCompactions()
	app := db.Appender(context.Background())
	for minute := range int64(121) {
		must(app.Append(0, labels.FromStrings("__name__", "a"), minute*60_000, 1))
	}
	if err := app.Commit(); err != nil {
		panic(err)
	}
	err := db.CompactHead(tsdb.NewRangeHead(db.Head(), 0, 2*3600_000-1))
	said := fmt.Sprintf("%d blocks", len(db.Blocks()))
	if errors.Is(err, syscall.ENOSPC) {
		return said + ", " + syscall.ENOSPC.Error()
	}
	if err != nil {
		return said + ", " + err.Error()
	}
	return said
}

func main() {
	fmt.Println("segments of the default:", compact(os.Args[1]+"/a", 0))
	fmt.Println("segments of 8 MiB:", compact(os.Args[1]+"/b", 8<<20))
}
E
go mod tidy 2>/dev/null
go build -o finding .
mkdir disk
unshare --mount sh -c 'mount -t tmpfs -o size=64m none disk && ./finding disk' | tee got
diff - got <<'E'
segments of the default: 0 blocks, no space left on device
segments of 8 MiB: 1 blocks
E
