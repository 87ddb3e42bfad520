package bench

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// pastLength is the length of the history, a chart's default range.
const pastLength = time.Hour

// pastSeries is the number of series beside those of the CPU.
const pastSeries = 600

// past fills a data directory with an hour of history at one reading per second, as the
// agent would have written it: CPU time and usage of two cores, and many series that
// have ended.
func past(t *testing.T, directory string) {
	t.Helper()
	s, err := store.Open(store.Options{Dir: filepath.Join(directory, "store"), Tiers: store.Defaults().Tiers})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Opened()
	r := storetest.NewMachine(hostName, 2)
	for i := range pastSeries {
		r.Gauge("bench_past", "ratio", "number", strconv.Itoa(i))
	}
	end := time.Now().Truncate(time.Second)
	for at := end.Add(-pastLength); at.Before(end); at = at.Add(time.Second) {
		if err := s.Append(r.Read(at)); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Complete(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
