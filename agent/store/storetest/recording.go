package storetest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed" // For the recording.
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/store"
)

//go:embed testdata/readings.csv.gz
var readings []byte

// Recording is ten minutes of a machine with two busy cores, a line a second:
// /proc/stat, meminfo, diskstats, net/dev, loadavg and part of vmstat. Counters are
// stored as differences, gauges where they changed. It repeats after ten minutes,
// with counters continuing.
type Recording struct {
	Series []*store.Series

	lines [][]string
	at    int
	value []float64
	out   store.Reading
}

// NewRecording reads the recording, with several copies of each series.
func NewRecording(tb testing.TB, copies int) *Recording {
	tb.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(readings))
	if err != nil {
		tb.Fatal(err)
	}
	r := &Recording{}
	lines := bufio.NewScanner(unzipped)
	lines.Scan()
	names := strings.Split(lines.Text(), ",")
	for lines.Scan() {
		r.lines = append(r.lines, strings.Split(lines.Text(), ","))
	}
	if err := lines.Err(); err != nil || len(r.lines) != 600 {
		tb.Fatalf("%d lines in the recording (%v)", len(r.lines), err)
	}
	r.value = make([]float64, len(names))
	for n := range copies {
		for _, name := range names {
			kind, id, _ := strings.Cut(name, ":")
			metric, instance, _ := strings.Cut(id, ".")
			r.Series = append(r.Series, recorded(kind == "counter", metric, fmt.Sprintf("%s-%d", instance, n)))
		}
	}
	return r
}

func recorded(counter bool, name, instance string) *store.Series {
	one := &store.Series{MinName: name + "_min", MaxName: name + "_max"}
	if counter {
		one = &store.Series{Kind: store.Counter, MinName: name + "_rate_min", MaxName: name + "_rate_max"}
		name += "_total"
	}
	one.Labels = labels.FromStrings(model.MetricNameLabel, name, "host_name", "h", "i", instance)
	return one
}

// Read returns the next reading; it reuses the previous one.
func (r *Recording) Read(tb testing.TB, at time.Time) store.Reading {
	tb.Helper()
	cells := r.lines[r.at%len(r.lines)]
	for i, cell := range cells {
		if cell == "" {
			continue
		}
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil {
			tb.Fatal(err)
		}
		switch {
		case r.Series[i].Kind == store.Gauge:
			r.value[i] = v
		case r.at > 0 && r.at%len(r.lines) == 0: // The first line has the totals.
		default:
			// As a division of integers gives it, without the errors of a sum.
			r.value[i] = math.Round((r.value[i]+v)*1e6) / 1e6
		}
	}
	r.at++
	if r.out.Collectors == nil {
		r.out.Collectors = []store.CollectorReading{{Collector: "recorded"}}
	}
	f := &r.out.Collectors[0]
	r.out.Time, f.Taken, f.Samples = at, at, f.Samples[:0]
	for i, one := range r.Series {
		f.Samples = append(f.Samples, store.Sample{Series: one, Value: r.value[i%len(r.value)]})
	}
	return r.out
}
