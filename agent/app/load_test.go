//go:build linux

package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/config"
	"sysotel/agent/store"
)

const (
	// loadClients is the number of concurrent clients, and of open streams.
	loadClients = 100
	// loadHistory is the length of the history.
	loadHistory = time.Hour
)

// loadLength is how long the clients send requests and the streams are open.
func loadLength() (clients, streams time.Duration) {
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		return 30 * time.Second, 60 * time.Second
	}
	return 8 * time.Second, 10 * time.Second
}

// TestSoakLoad has a hundred clients request the newest reading and an hour of series
// in a loop, beside a hundred live streams. All are served, and the agent misses no
// second.
func TestSoakLoad(t *testing.T) {
	asking, streaming := loadLength()
	c := configure(t, "--host.name=loaded", "--rate-limit.enabled=false")
	past(t, c)
	journal := filepath.Join(c.DataDir, "load.log")
	spawn(t, "agent", "loadagent", nil, append(sameFlags(c), "--host.name=loaded", "--rate-limit.enabled=false", "--log.file="+journal, "--log.format=json")...)
	first := awaitTick(t, unixClient(c), 2)
	address := fmt.Sprint(readJournal(t, journal).await(t, map[string]any{"msg": "sysotel started"})["api"])

	ctx, cancel := context.WithTimeout(t.Context(), streaming+patience)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * loadClients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	from := first.Timestamp.Unix() + 2 // By then every stream is open.
	to := from + int64(streaming/time.Second)
	var streams sync.WaitGroup
	for i := range loadClients {
		streams.Go(func() {
			if err := followStream(ctx, client, address, from, to); err != nil {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	askAll(ctx, t, client, address, asking)
	streams.Wait()

	log := readJournal(t, journal)
	for _, gap := range log.find(t, map[string]any{"event": "gap"}) {
		t.Errorf("a gap under load: %v", gap)
	}
	if t.Failed() {
		t.Logf("the agent's log:\n%s", log)
	}
}

// past fills a data directory with an hour of CPU readings of two cores, one per
// second, as the agent would have written it.
func past(tb testing.TB, c config.Config) {
	tb.Helper()
	s, err := store.Open(store.Options{Dir: filepath.Join(c.DataDir, storeDir), Tiers: c.Store.Tiers})
	if err != nil {
		tb.Fatal(err)
	}
	<-s.Opened()
	cpu := store.CollectorReading{Collector: "cpu"}
	for core := range 2 {
		for _, state := range []string{"user", "system", "idle", "nice", "wait", "interrupt", "softirq", "steal"} {
			cpu.Samples = append(cpu.Samples, store.Sample{Series: &store.Series{
				Labels: labels.FromStrings("__name__", "system_cpu_time_seconds_total", "cpu", "cpu"+strconv.Itoa(core), "host_name", "loaded", "state", state),
				Kind:   store.Counter,
			}})
		}
	}
	gauge := func(name string, pairs ...string) {
		cpu.Samples = append(cpu.Samples, store.Sample{Series: &store.Series{
			Labels: labels.FromStrings(append([]string{"__name__", name, "host_name", "loaded"}, pairs...)...),
		}})
	}
	gauge("sysotel_cpu_usage_ratio")
	gauge("sysotel_cpu_core_usage_ratio", "cpu", "cpu0")
	gauge("sysotel_cpu_core_usage_ratio", "cpu", "cpu1")
	end := time.Now().Truncate(time.Second)
	for at := end.Add(-loadHistory); at.Before(end); at = at.Add(time.Second) {
		cpu.Taken = at
		for i := range cpu.Samples {
			if cpu.Samples[i].Series.Kind == store.Counter {
				cpu.Samples[i].Value += float64(i+1) / 100
			} else {
				cpu.Samples[i].Value = float64((at.Unix()*int64(i+1))%89) / 89
			}
		}
		if err := s.Append(store.Reading{Time: at, Collectors: []store.CollectorReading{cpu}}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// followStream reads a live stream and returns an error if a second is missing, comes
// twice or has no CPU reading.
func followStream(ctx context.Context, client *http.Client, address string, from, to int64) error {
	response, err := request(ctx, client, address+"/api/v1/metrics/stream")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the stream answered %s", response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for want := int64(0); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var reading struct {
			Timestamp time.Time       `json:"timestamp"`
			CPU       json.RawMessage `json:"cpu"`
		}
		if err := json.Unmarshal([]byte(text), &reading); err != nil {
			return err
		}
		at := reading.Timestamp.Unix()
		switch {
		case want == 0 && at > from:
			return fmt.Errorf("the stream began at second %d, %d s late", at, at-from)
		case want != 0 && at != want:
			return fmt.Errorf("second %d came after %d", at, want-1)
		case len(reading.CPU) == 0 || string(reading.CPU) == "null":
			return fmt.Errorf("second %d has no CPU reading", at)
		case at >= to:
			return nil
		}
		want = at + 1
	}
	return fmt.Errorf("the stream ended early: %w", errors.Join(lines.Err(), io.ErrUnexpectedEOF))
}

// question is a request of the clients.
type question struct {
	name, path string
	minValues  int // The minimum number of values in a response for the whole hour.

	mu   sync.Mutex
	took []time.Duration
}

// askAll has the clients send all requests in turn, and logs the response times. They
// do not fail the test, as machines differ.
func askAll(ctx context.Context, t *testing.T, client *http.Client, address string, length time.Duration) {
	t.Helper()
	now := time.Now().Unix()
	questions := []*question{
		{name: "current", path: "/api/v1/metrics/current", minValues: 10},
		{name: "an hour of CPU", path: "/api/v1/metrics/cpu?start=-1h&metric=cpu_usage_total&metric=cpu_usage_per_core", minValues: 1_500},
		{name: "query_range", path: fmt.Sprintf("/prometheus/api/v1/query_range?query=%s&start=%d&end=%d&step=15",
			url.QueryEscape(`sum by (state) (rate(system_cpu_time_seconds_total[1m]))`), now-int64(loadHistory/time.Second), now), minValues: 1_500},
	}
	for _, q := range questions { // The store may still be opening.
		poll(t, func() error { return q.ask(ctx, client, address) })
		q.took = nil
	}
	began := time.Now()
	var clients sync.WaitGroup
	for i := range loadClients {
		clients.Go(func() {
			for n := i; time.Since(began) < length; n++ {
				if err := questions[n%len(questions)].ask(ctx, client, address); err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
			}
		})
	}
	clients.Wait()
	elapsed := time.Since(began).Seconds()
	for _, q := range questions {
		q.log(t, elapsed)
	}
}

// ask sends the request once and checks the response.
func (q *question) ask(ctx context.Context, client *http.Client, address string) error {
	began := time.Now()
	body, err := fetch(ctx, client, address+q.path)
	if err != nil {
		return err
	}
	// Cores without history have values only since the start of the agent.
	if values := bytes.Count(body, []byte(",")) - bytes.Count(body, []byte("null")); values < q.minValues || !bytes.HasSuffix(bytes.TrimSpace(body), []byte("}")) {
		return fmt.Errorf("%s returned about %d values: %.300s", q.path, values, body)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.took = append(q.took, time.Since(began))
	return nil
}

// log logs the response times.
func (q *question) log(t *testing.T, elapsed float64) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.took) == 0 {
		t.Errorf("%s: no response", q.name)
		return
	}
	slices.Sort(q.took)
	var sum time.Duration
	for _, d := range q.took {
		sum += d
	}
	n := len(q.took)
	t.Logf("%-15s %6d responses, %6.0f per second, mean %s, p50 %s, p99 %s", q.name, n, float64(n)/elapsed,
		(sum / time.Duration(n)).Round(time.Microsecond), q.took[n/2].Round(time.Microsecond), q.took[n*99/100].Round(time.Microsecond))
}
