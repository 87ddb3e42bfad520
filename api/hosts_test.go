package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sysotel/agent/query"
	"sysotel/instruments"
)

// fakeHosts returns what the test sets.
type fakeHosts struct {
	seen   []Seen
	meters map[string]Meters
	err    error
}

func (h *fakeHosts) Seen(context.Context) ([]Seen, error)              { return h.seen, h.err }
func (h *fakeHosts) Meters(context.Context) (map[string]Meters, error) { return h.meters, nil }

func hostsOf(t *testing.T, s *Server) HostList {
	t.Helper()
	w := ask(s, http.MethodGet, "/api/v1/hosts", nil)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	validated(t, s, "/api/v1/hosts", w.Body.Bytes())
	var list HostList
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// machineNow is a machine with a current reading.
func machineNow() *fakeMachine {
	m := ticked()
	m.at = time.Now()
	m.readings["agent"] = &instruments.Agent{AgentStats: instruments.AgentStats{HostID: "id-1"}}
	return m
}

func TestHostsOfAnAgentAlone(t *testing.T) {
	list := hostsOf(t, newTestServer(t, machineNow(), nil))
	if len(list.Hosts) != 1 || list.Warnings != nil {
		t.Fatalf("%+v", list)
	}
	h := list.Hosts[0]
	if h.HostName != "server-01" || h.HostID != "id-1" || h.Version != "1.2.3" || h.Status != hostUp || h.CPUPercent != 45.2 || h.MemoryPercent != 50 || h.DiskPercent != 60 {
		t.Errorf("%+v", h)
	}
}

func TestHostsBeforeTheFirstTick(t *testing.T) {
	if list := hostsOf(t, newTestServer(t, newFakeMachine(nil), nil)); len(list.Hosts) != 0 {
		t.Errorf("%+v", list)
	}
}

func TestHostsThatPush(t *testing.T) {
	now := time.Now()
	hosts := &fakeHosts{
		seen: []Seen{
			{HostName: "web", HostID: "id-3", Version: "1.0", LastSeen: now.Add(-2 * time.Second)},
			{HostName: "web", HostID: "id-3", Version: "0.9", LastSeen: now.Add(-20 * time.Second)}, // Before it was upgraded.
			{HostName: "web", HostID: "id-4", Version: "1.0", LastSeen: now.Add(-3 * time.Second)},  // Another machine with the same name.
			{HostName: "web", HostID: "id-5", Version: "1.0", LastSeen: now.Add(-time.Hour)},        // A replaced machine.
			{HostName: "server-01", HostID: "id-1", Version: "1.2.3", LastSeen: now.Add(-4 * time.Second)},
			{HostName: "db\xff", HostID: "id-6", Version: "1.0", LastSeen: now.Add(-time.Hour)},
			{HostName: "slow", HostID: "id-7", Version: "1.0", LastSeen: now.Add(-100 * time.Second), Interval: time.Minute},
			{HostName: "slower", HostID: "id-8", Version: "1.0", LastSeen: now.Add(-200 * time.Second), Interval: time.Minute},
		},
		meters: map[string]Meters{"web": {0.25, 0.5, unknown}},
	}
	list := hostsOf(t, newTestServer(t, machineNow(), func(o *Options) { o.Hosts = hosts }))
	var got []string
	for _, h := range list.Hosts {
		got = append(got, fmt.Sprintf("%s %s %s %s %v", h.HostName, h.HostID, h.Version, h.Status, h.OtherIDs))
	}
	const want = "db\uFFFD id-6 1.0 late [], server-01 id-1 1.2.3 up [], slow id-7 1.0 up [], slower id-8 1.0 late [], web id-3 1.0 up [id-4]"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("the hosts are %s, want %s", text, want)
	}
	if web := list.Hosts[4]; web.CPUPercent != 25 || web.MemoryPercent != 50 || !isUnknown(web.DiskPercent) {
		t.Errorf("%+v", web)
	}
	if db := list.Hosts[0]; !isUnknown(db.CPUPercent) {
		t.Errorf("%+v", db)
	}
}

// TestHostOfThisName: another machine pushes under this one's name.
func TestHostOfThisName(t *testing.T) {
	hosts := &fakeHosts{seen: []Seen{{HostName: "server-01", HostID: "id-9", Version: "1.0", LastSeen: time.Now()}}}
	list := hostsOf(t, newTestServer(t, machineNow(), func(o *Options) { o.Hosts = hosts }))
	if len(list.Hosts) != 1 || list.Hosts[0].HostID != "id-1" || len(list.Hosts[0].OtherIDs) != 1 || list.Hosts[0].OtherIDs[0] != "id-9" {
		t.Errorf("%+v", list)
	}
}

func TestHostsWhileNobodyAnswers(t *testing.T) {
	hosts := &fakeHosts{err: &query.Error{Type: query.Unavailable, Err: fmt.Errorf("%w: refused", query.ErrDown)}}
	list := hostsOf(t, newTestServer(t, machineNow(), func(o *Options) { o.Hosts = hosts }))
	if len(list.Hosts) != 1 || len(list.Warnings) != 1 || !strings.Contains(list.Warnings[0], "does not respond: refused") {
		t.Errorf("%+v", list)
	}
	hosts.err = errors.New("open /etc/secret")
	s := newTestServer(t, machineNow(), func(o *Options) { o.Hosts = hosts })
	if detail, _ := problemOf(t, ask(s, http.MethodGet, "/api/v1/hosts", nil), http.StatusInternalServerError); strings.Contains(detail, "secret") {
		t.Error(detail)
	}
}

func TestSeriesOfAnotherHost(t *testing.T) {
	hosts := &fakeHosts{seen: []Seen{{HostName: "web", HostID: "id-3", Version: "1.0", LastSeen: time.Now()}}}
	h := &fakeHistory{}
	s := newTestServer(t, ticked(), func(o *Options) {
		o.History, o.SeriesNames, o.Hosts = h, testNames(instruments.Hostmetrics), hosts
	})
	if w := ask(s, http.MethodGet, seriesPath+"cpu?metric=cpu_usage_total&host=web", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"host":"web"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got, want := say(h.asked[0]), `__name__="sysotel.cpu.usage",host_name="web"`; got != want {
		t.Errorf("it asks for %s, want %s", got, want)
	}
	_, invalid := problemOf(t, ask(s, http.MethodGet, seriesPath+"cpu?host=wbe", nil), http.StatusUnprocessableEntity)
	if text := invalid["query.host"]; !strings.Contains(text, "server-01, web") {
		t.Errorf("an unknown host is %q", text)
	}
	h.answer = func(query.SeriesQuery) (query.SeriesResult, error) {
		return query.SeriesResult{}, &query.Error{Type: query.Unavailable, Err: fmt.Errorf("%w for tier 1s: refused", query.ErrDown)}
	}
	w := ask(s, http.MethodGet, seriesPath+"cpu?host=web", nil)
	if detail, _ := problemOf(t, w, http.StatusServiceUnavailable); !strings.Contains(detail, "VictoriaMetrics does not respond for tier 1s: refused") || w.Header().Get("Retry-After") == "" {
		t.Errorf("%q with %v", detail, w.Header())
	}
}

// TestSeriesFromTheLocalCache: the response says where it is from.
func TestSeriesFromTheLocalCache(t *testing.T) {
	s := withHistory(t, &fakeHistory{answer: func(query.SeriesQuery) (query.SeriesResult, error) {
		r, err := twoDisks(query.SeriesQuery{})
		r.Tiers[0].Cached = true
		r.Warnings.Add(&query.LocalCacheWarning{Tier: "1m", Host: "server-01", Why: errors.New("refused")})
		return r, err
	}})
	w := ask(s, http.MethodGet, seriesPath+"cpu?metric=cpu_usage_total", nil)
	validated(t, s, seriesPath+"cpu", w.Body.Bytes())
	var answer Series
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Tiers[0].Source != localCache || answer.Tiers[1].Source != "" || len(answer.Warnings) != 1 {
		t.Errorf("%+v with the warnings %q", answer.Tiers, answer.Warnings)
	}
	if got := w.Header().Get("X-Sysotel-Tier"); got != "1m;source=local-cache, 1s" {
		t.Errorf("X-Sysotel-Tier %q", got)
	}
}
