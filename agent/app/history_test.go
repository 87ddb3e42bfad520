package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/health"
	"sysotel/agent/records"
	"sysotel/agent/store"
	"sysotel/api"
)

// oldest returns the first second of the last hour at which a series has a value.
func oldest(a *agent, series string) (time.Time, error) {
	query := url.Values{"query": {"min_over_time(timestamp(" + series + ")[1h:1s])"}}
	body, err := ask(a.tb.Context(), a.socket, "/prometheus/api/v1/query?"+query.Encode())
	if err != nil {
		return time.Time{}, err
	}
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]json.RawMessage `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	decode(a.tb, body, &answer)
	if len(answer.Data.Result) != 1 {
		return time.Time{}, fmt.Errorf("%s: %s", series, body)
	}
	var text string
	var seconds float64
	decode(a.tb, answer.Data.Result[0].Value[1], &text)
	if _, err := fmt.Sscan(text, &seconds); err != nil {
		return time.Time{}, err
	}
	return time.Unix(int64(seconds), 0), nil
}

// TestRestartKeepsHistory: the next agent serves what the last one measured, under
// both sets of names.
func TestRestartKeepsHistory(t *testing.T) {
	c := configure(t)
	first := run(t, c)
	begun := first.tick()
	first.ticks(3)
	var since time.Time
	poll(t, func() (err error) {
		since, err = oldest(first, "system_cpu_load_average_1m")
		return err
	})
	if since.After(begun.Add(time.Second)) {
		t.Errorf("the history begins at %s, the agent at %s", since, begun)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	second := run(t, c)
	second.ticks(2)
	for _, series := range []string{"system_cpu_load_average_1m", "node_memory_usage_percent"} {
		poll(t, func() error {
			from, err := oldest(second, series)
			if err == nil && !from.Equal(since) {
				err = fmt.Errorf("the history of %s begins at %s, before the restart at %s", series, from, since)
			}
			return err
		})
	}
}

// TestStartWithDataIsQuick: readings are served while the data on disk is opened. The
// time is logged; it cannot fail, as machines differ.
func TestStartWithDataIsQuick(t *testing.T) {
	c := configure(t)
	series := make([]*store.Series, 500)
	for i := range series {
		series[i] = &store.Series{
			Labels:  labels.FromStrings(model.MetricNameLabel, "past_value", "i", strconv.Itoa(i)),
			MinName: "past_value_min", MaxName: "past_value_max",
		}
	}
	s, err := store.Open(store.Options{Dir: filepath.Join(c.DataDir, storeDir), Tiers: c.Store.Tiers})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Opened()
	now := time.Now().Truncate(time.Second)
	const kept = 20 * time.Minute
	for at := now.Add(-kept); at.Before(now); at = at.Add(time.Second) {
		reading := store.CollectorReading{Collector: "past"}
		for i, one := range series {
			reading.Samples = append(reading.Samples, store.Sample{Series: one, Value: float64(i) + float64(at.Unix()%60)})
		}
		if err := s.Append(store.Reading{Time: at, Collectors: []store.CollectorReading{reading}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	a := run(t, c)
	poll(t, func() error {
		_, err := ask(t.Context(), a.socket, "/api/v1/metrics/current")
		return err
	})
	t.Logf("the first reading was served after %s", time.Since(begun))
	poll(t, func() error {
		from, err := oldest(a, `past_value{i="0"}`)
		if err == nil && !from.Equal(now.Add(-kept)) {
			err = fmt.Errorf("the history begins at %s, want %s", from, now.Add(-kept))
		}
		return err
	})
	t.Logf("the whole history was there after %s", time.Since(begun))
}

// TestHistoryInHealth: the store and the records are components of the agent.
func TestHistoryInHealth(t *testing.T) {
	a := run(t, configure(t))
	a.tick()
	poll(t, func() error {
		var answer api.Health
		decode(t, get(t, a.socket, "/api/v1/health"), &answer)
		for _, name := range []string{"store", "records"} {
			i := slices.IndexFunc(answer.Parts, func(p health.Component) bool { return p.Name == name })
			if i < 0 || answer.Parts[i].Status != health.OK {
				return fmt.Errorf("%s: %+v", name, answer.Parts)
			}
		}
		return nil
	})
}

// TestDroppedSamplesAreReported: samples that the store drops are counted on the
// page, and health says how many and why.
func TestDroppedSamplesAreReported(t *testing.T) {
	a := run(t, configure(t))
	a.ticks(2)
	s := a.history.store
	<-s.Opened()
	gauge := &store.Series{Labels: labels.FromStrings("__name__", "g")}
	add := func(at time.Time, samples ...store.Sample) {
		if err := s.Append(store.Reading{Time: at, Collectors: []store.CollectorReading{{Collector: "test", Samples: samples}}}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Truncate(time.Second)
	sample := store.Sample{Series: gauge, Value: 1}
	add(now, sample, sample) // One tick has one sample.
	add(now, sample)         // Late: not newer than the one before.
	poll(t, func() error {
		page := scrape(t, a.socket)
		for reason, want := range map[string]float64{store.DropLate: 1, store.DropRejected: 1} {
			if got, _ := page.sum("sysotel_store_dropped_total", "reason", reason); got < want {
				return fmt.Errorf("%v samples are counted as %s, want %v", got, reason, want)
			}
		}
		var answer api.Health
		decode(t, get(t, a.socket, "/api/v1/health"), &answer)
		i := slices.IndexFunc(answer.Parts, func(p health.Component) bool { return p.Name == "store" })
		if i < 0 || !strings.Contains(answer.Parts[i].Reason, "1 late") || !strings.Contains(answer.Parts[i].Reason, "1 rejected") {
			return fmt.Errorf("health says %+v", answer.Parts)
		}
		return nil
	})
}

// TestNothingIsKept: without a store the agent measures, and explains why it has no
// history.
func TestNothingIsKept(t *testing.T) {
	c := configure(t, "--store.backend=none")
	a := run(t, c)
	a.tick()
	for _, dir := range []string{storeDir, recordsDir} {
		if _, err := os.Stat(filepath.Join(c.DataDir, dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", dir, err)
		}
	}
	for _, path := range []string{"/prometheus/api/v1/query?query=up", "/api/v1/events", "/api/v1/metrics/cpu"} {
		if status, _, body := a.answer(path); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, want 503: %s", path, status, body)
		}
	}
}

// TestDirectoryOfANewerVersion: the agent does not change what it cannot read.
func TestDirectoryOfANewerVersion(t *testing.T) {
	c := configure(t)
	dir := filepath.Join(c.DataDir, storeDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "format"), []byte("999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, c, "data_dir", "newer")
}

// TestBackupIsWholeOrNothing: a failed backup leaves nothing behind.
func TestBackupIsWholeOrNothing(t *testing.T) {
	a, err := New(Options{Config: configure(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	<-a.history.store.Opened()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := a.history.records.Close(); err != nil { // The second half will fail.
		t.Fatal(err)
	}
	if err := a.history.backup(t.Context(), dir, false); err == nil {
		t.Error("the backup of closed records succeeded")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(a.config.DataDir, link); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	for _, refused := range []string{open, "relative", filepath.Join(a.config.DataDir, "lock"), a.config.DataDir, filepath.Join(a.config.DataDir, "copy", "of", "it"), filepath.Join(link, "copy")} {
		if err := a.history.backup(t.Context(), refused, false); !errors.Is(err, api.ErrBackupRefused) {
			t.Errorf("%s: %v", refused, err)
		}
	}
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
}

// TestRecordTiers: process tables have the store's tiers, but none finer than 5 s.
func TestRecordTiers(t *testing.T) {
	const day = 24 * time.Hour
	tier := func(resolution, retention time.Duration) store.TierConfig {
		return store.TierConfig{Resolution: resolution, Retention: retention}
	}
	f := func(want []records.Tier, tiers ...store.TierConfig) {
		t.Helper()
		if got := recordTiers(tiers); !slices.Equal(got, want) {
			t.Errorf("%v gives %v, want %v", tiers, got, want)
		}
	}
	f(records.DefaultTiers(), store.Defaults().Tiers...)
	f([]records.Tier{{Resolution: 6 * time.Second, Retention: day}}, tier(2*time.Second, day))
	// Neither 5 s nor 6 s divides 8 s, so the first tier would equal the second.
	f([]records.Tier{{Resolution: 8 * time.Second, Retention: 2 * day}}, tier(time.Second, day), tier(8*time.Second, 2*day))
	f([]records.Tier{{Resolution: 10 * time.Second, Retention: day}, {Resolution: time.Minute, Retention: 2 * day}}, tier(10*time.Second, day), tier(time.Minute, 2*day))
}
