package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"sysotel/api"
)

// agentOf is an agent with the given answers.
func agentOf(t *testing.T, answer http.HandlerFunc) *Agent {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return &Agent{Client: server.Client(), URL: server.URL, Name: "agent", Token: "secret"}
}

// send writes a JSON document.
func send(w http.ResponseWriter, document any) {
	_ = json.NewEncoder(w).Encode(document)
}

// TestEvents finds the next and the previous event among many, whose list begins
// with the newest.
func TestEvents(t *testing.T) {
	now := epoch.Add(100 * time.Hour)
	var all []api.Event // Newest first.
	for i := range 3000 {
		all = append(all, api.Event{ID: int64(3000 - i), Time: epoch.Add(time.Duration(3000-i)*100*time.Millisecond + 5*time.Hour), Kind: "alert"})
	}
	all = append(all, api.Event{ID: -1, Time: epoch.Add(time.Hour), Kind: "start"})
	requests := 0
	a := agentOf(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		q := r.URL.Query()
		start, end := parse(t, q, "start"), parse(t, q, "end")
		limit, _ := strconv.Atoi(q.Get("limit"))
		page := api.Events{}
		for _, e := range all {
			if e.Time.Before(start) || !e.Time.Before(end) {
				continue
			}
			if len(page.Events) == limit {
				page.Next = "more"
				break
			}
			page.Events = append(page.Events, e)
		}
		send(w, page)
	})
	next := func(at time.Time, id int64, more int) {
		t.Helper()
		requests = 0
		found, err := a.after(t.Context(), at, now)
		if err != nil || found.ID != id || found.more != more || requests > 20 {
			t.Errorf("after %s: %+v (%v) in %d requests, want %d and %d more", at.Sub(epoch), found, err, requests, id, more)
		}
	}
	next(epoch, -1, 0)
	next(epoch.Add(time.Hour), -1, 0)
	next(epoch.Add(time.Hour+time.Second), 1, 8) // 0.1 to 0.9 s of the first second.
	next(epoch.Add(5*time.Hour+10*time.Second), 100, 9)
	if _, err := a.after(t.Context(), epoch.Add(6*time.Hour), now); !errors.Is(err, errNoEvent) {
		t.Errorf("behind the newest: %v", err)
	}
	if found, err := a.before(t.Context(), now); err != nil || found.ID != 3000 {
		t.Errorf("the newest is %+v (%v)", found, err)
	}
	if found, err := a.before(t.Context(), epoch.Add(2*time.Hour)); err != nil || found.ID != -1 || found.more != 0 {
		t.Errorf("the one before is %+v (%v)", found, err)
	}
	if _, err := a.before(t.Context(), epoch); !errors.Is(err, errNoEvent) {
		t.Errorf("before the first: %v", err)
	}
}

// parse reads a time as the API does.
func parse(t *testing.T, q url.Values, name string) time.Time {
	t.Helper()
	v, err := strconv.ParseFloat(q.Get(name), 64)
	if err != nil {
		t.Errorf("%s is %q", name, q.Get(name))
	}
	return time.UnixMilli(int64(v * 1000))
}

// TestWindowOfACoarserHistory: where the history is coarser than asked for, the
// window is of the coarser points, and says so.
func TestWindowOfACoarserHistory(t *testing.T) {
	var steps []string
	a := agentOf(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Error("the token is not sent")
		}
		if r.URL.Path == "/api/v1/alerts/history" {
			send(w, api.AlertHistory{})
			return
		}
		q := r.URL.Query()
		start, end := parse(t, q, "start"), parse(t, q, "end")
		s := api.Series{Host: "server-01", Tiers: []api.SeriesTier{{Tier: "1m", From: start, To: end}}}
		if r.URL.Path == "/api/v1/metrics/cpu" {
			steps = append(steps, q.Get("step"))
			s.Series = []api.SeriesRow{{Metric: "cpu_usage_total"}}
			for at := (start.Unix() + 59) / 60 * 60; at <= end.Unix(); at += 60 {
				s.Series[0].T = append(s.Series[0].T, float64(at))
				s.Series[0].Avg = append(s.Series[0].Avg, 50)
			}
		}
		send(w, s)
	})
	w, err := a.window(t.Context(), epoch, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s := w.at(epoch)
	if fmt.Sprint(steps) != "[1s 1m0s]" || s.CPU != 50 || s.Resolution != 60 || s.Host != "server-01" || s.Memory.Percent.known() {
		t.Errorf("steps %v, snapshot %+v", steps, s)
	}
	if !w.holds(epoch.Add(time.Minute)) || w.holds(epoch.Add(2*ahead*time.Minute)) || w.holds(epoch.Add(-2*ahead*time.Minute)) {
		t.Error("the window holds what is not in it, or not its own moment")
	}
}

// TestStream: readings come in order, a stream that ends is reported and opened
// again, and the end of the context ends it.
func TestStream(t *testing.T) {
	a := agentOf(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "retry: 2000\n\n: still here\n\nid: 1\nevent: reading\ndata: {\"tick\":1,\"cpu\":{\"usage_percent\":null}}\n\nid: 2\nevent: reading\ndata: {\"tick\":2}\n\n")
	})
	ctx, cancel := context.WithCancel(t.Context())
	var ticks []uint64
	var losses []error
	a.follow(ctx, func(c *api.Current) {
		ticks = append(ticks, c.Tick)
		if c.Tick == 1 && fromCurrent(c).CPU.known() {
			t.Error("null is a number")
		}
		if len(ticks) == 4 {
			cancel()
		}
	}, func(err error) { losses = append(losses, err) })
	if fmt.Sprint(ticks) != "[1 2 1 2]" || len(losses) != 1 || !errors.Is(losses[0], errEnded) {
		t.Errorf("ticks %v, losses %v", ticks, losses)
	}
}

// TestRefusals: errors say what to do, and nothing in them controls the terminal.
func TestRefusals(t *testing.T) {
	status, body := 0, ""
	a := agentOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{401, `{"detail":"no"}`, "sysotel token add"},
		{422, `{"detail":"Invalid query.","errors":[{"location":"query.at","message":"must be a time"}]}`, "Invalid query. at must be a time"},
		{503, "{\"detail\":\"x\\u001b[2Jy\"}", "x?[2Jy"},
		{502, "<html>\x1b[2J", "status 502"},
		{200, "<html>\x1b[2J", "no answer of an agent"},
		{302, "", "status 302"},
	} {
		status, body = c.status, c.body
		_, err := a.current(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsFunc(err.Error(), unicode.IsControl) {
			t.Errorf("status %d, %q: %v, want %q", c.status, c.body, err, c.want)
		}
	}
	a.URL = "http://127.0.0.1:1"
	if _, err := a.current(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "no agent answers on agent: ") {
		t.Errorf("without an agent: %v", err)
	}
}
