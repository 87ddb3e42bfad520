package bench

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// pastLength is how far back the history goes that an agent is started on: as
// far as a chart shows at first.
const pastLength = time.Hour

// pastSeries is how many series that history has beside those of the CPU.
const pastSeries = 600

// past is a data directory with an hour of history at one reading a second: time
// and use of two cores, which are asked for, among many series of programs
// that have ended. It is written as the agent would have written it.
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
