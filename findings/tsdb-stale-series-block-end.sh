#!/bin/bash
# Prometheus TSDB: compacting the stale series of a head makes a block that ends in the future.
#
# Version:  github.com/prometheus/prometheus v0.315.0, DB.CompactStaleHead, 24 h blocks.
# Expected: a block of series that ended ten minutes ago says that it ends then, or at the newest
#           sample of the head at the latest; nothing newer can be in it.
# Observed: the block's maxTime is the end of the whole block range, here hours after the newest
#           sample of the head and up to a block's length after now. What takes maxTime for the time
#           of the newest sample (retention by newest block, "data up to") is misled.
# Output:   newest sample 10:00:00, newest of an ended series 00:09:59
#           block with stale series: 00:00:00 to 24:00:00
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
	"fmt"
	"math"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

const day = 24 * time.Hour

func main() {
	o := tsdb.DefaultOptions()
	o.MinBlockDuration, o.MaxBlockDuration = day.Milliseconds(), 3*day.Milliseconds()
	db := must(tsdb.Open(must(os.MkdirTemp(".", "")), nil, nil, o, nil))
	defer db.Close()
	db.DisableCompactions()
	midnight := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	app := db.Appender(context.Background())
	add := func(name string, at time.Duration, v float64) {
		must(app.Append(0, labels.FromStrings("__name__", name), midnight.Add(at).UnixMilli(), v))
	}
	for at := time.Duration(0); at < 10*time.Minute; at += time.Second {
		add("ended", at, 1)
	}
	add("ended", 10*time.Minute, math.Float64frombits(value.StaleNaN))
	for at := time.Duration(0); at <= 10*time.Hour; at += time.Minute {
		add("living", at, 1)
	}
	check(app.Commit())
	check(db.CompactStaleHead())
	since := func(ms int64) string {
		d := time.UnixMilli(ms).Sub(midnight)
		return fmt.Sprintf("%02d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	fmt.Printf("newest sample %s, newest of an ended series 00:09:59\n", since(db.Head().MaxTime()))
	for _, b := range db.Blocks() {
		fmt.Printf("block with stale series: %s to %s\n", since(b.MinTime()), since(b.MaxTime()))
	}
}
E
output=$(GOFLAGS=-mod=mod go run .)
observed='newest sample 10:00:00, newest of an ended series 00:09:59
block with stale series: 00:00:00 to 24:00:00'
echo 'version:  github.com/prometheus/prometheus v0.315.0'
echo 'expected: the block ends with its newest sample, or with that of the head'
echo 'observed: it ends with the range, hours after both'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
