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

	"sysotel/agent/clock"
	"sysotel/agent/records"
)

// openRecords are real records with a clock stopped at the example's time.
func openRecords(t *testing.T) *records.Records {
	t.Helper()
	r, err := records.Open(records.Options{Dir: t.TempDir(), Clock: clock.New(clock.Options{Wall: func() time.Time { return exampleTime }})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func withRecords(t *testing.T, r Records) *Server {
	return newTestServer(t, ticked(), func(o *Options) { o.Records = r })
}

func askEvents(t *testing.T, s *Server, query string) Events {
	t.Helper()
	w := ask(s, http.MethodGet, "/api/v1/events?"+query, nil)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	validated(t, s, "/api/v1/events", w.Body.Bytes())
	var e Events
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEvents(t *testing.T) {
	r := openRecords(t)
	const hostile = "<img src=x>\xff\x1b[2J"
	for i := range 5 {
		e := records.Event{Time: exampleTime.Add(time.Duration(i) * time.Minute), Kind: records.DeviceAdded, Subject: fmt.Sprint("sd", i), Detail: map[string]string{"path": hostile}}
		if i == 2 {
			e.Kind, e.From, e.To = records.Gap, e.Time.Add(-time.Minute), e.Time
		}
		if err := r.AddEvent(e); err != nil {
			t.Fatal(err)
		}
	}
	s := withRecords(t, r)
	const all = "start=2026-02-02T00:00:00Z&end=2026-02-03T00:00:00Z"
	e := askEvents(t, s, all)
	if len(e.Events) != 5 || e.Events[0].Subject != "sd4" || e.Next != "" || e.Host != "server-01" || !e.Start.Equal(exampleTime.Truncate(24*time.Hour)) {
		t.Errorf("%+v", e)
	}
	if gap := e.Events[2]; gap.From == nil || gap.To.Sub(*gap.From) != time.Minute || e.Events[0].From != nil || gap.Detail["path"] != "<img src=x>\uFFFD\x1b[2J" {
		t.Errorf("%+v", gap)
	}
	if body := ask(s, http.MethodGet, "/api/v1/events?"+all, nil).Body.String(); strings.ContainsAny(body, "<\x1b") {
		t.Errorf("a hostile name came through unescaped: %s", body)
	}
	if e := askEvents(t, s, all+"&kind=gap&kind=stop"); len(e.Events) != 1 || e.Events[0].Kind != "gap" {
		t.Errorf("%+v", e)
	}
	var seen []string
	for cursor := ""; ; {
		e := askEvents(t, s, all+"&limit=2&cursor="+cursor)
		for _, one := range e.Events {
			seen = append(seen, one.Subject)
		}
		if cursor = e.Next; cursor == "" {
			break
		}
	}
	if got := strings.Join(seen, " "); got != "sd4 sd3 sd2 sd1 sd0" {
		t.Errorf("page by page: %s", got)
	}
	if e := askEvents(t, s, "start=2020-01-01T00:00:00Z&end=2020-01-02T00:00:00Z"); e.Events == nil || len(e.Events) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestBadEventQueries(t *testing.T) {
	s := withRecords(t, openRecords(t))
	for _, c := range []struct{ query, location, says string }{
		{"start=-1h&end=-2h", "query.start", "before the end"},
		{"start=-10y", "query.start", "1830 days"},
		{"start=soon", "query.start", "RFC 3339"},
		{"end=%ff", "query.end", "RFC 3339"},
		{"limit=0", "query.limit", "from 1 to 1000"},
		{"limit=-1", "query.limit", "from 1 to 1000"},
		{"limit=1000000", "query.limit", "from 1 to 1000"},
		{"cursor=%ff", "query.cursor", "value of next"},
		{"cursor=x.y", "query.cursor", "value of next"},
		{"kind=", "query.kind", "not be empty"},
		{"colour=red", "query.colour", "cursor, end, format, kind"},
	} {
		_, invalid := problemOf(t, ask(s, http.MethodGet, "/api/v1/events?"+c.query, nil), http.StatusUnprocessableEntity)
		if !strings.Contains(invalid[c.location], c.says) {
			t.Errorf("%s: %v, want %s: …%s…", c.query, invalid, c.location, c.says)
		}
	}
	w := ask(s, http.MethodGet, "/api/v1/events?kind=party", nil)
	problemOf(t, w, http.StatusUnprocessableEntity)
	if !strings.Contains(w.Body.String(), "clock_step") {
		t.Errorf("%s does not say what is allowed", w.Body)
	}
}

// brokenRecords always fail.
type brokenRecords struct{ err error }

func (r brokenRecords) ProcessesAt(context.Context, time.Time) (*records.Processes, error) {
	return nil, r.err
}

func (r brokenRecords) ProcessesBetween(context.Context, records.ProcessQuery) (*records.Processes, error) {
	return nil, r.err
}

func (r brokenRecords) Events(context.Context, records.EventQuery) (*records.EventPage, error) {
	return nil, r.err
}

func TestFailuresOfTheRecords(t *testing.T) {
	for err, want := range map[error]int{
		records.ErrClosed: 503, records.ErrTooMuch: 422, records.ErrNoRecord: 404, context.DeadlineExceeded: 503, errors.New("open /etc/secret"): 500,
	} {
		w := ask(withRecords(t, brokenRecords{err}), http.MethodGet, "/api/v1/events", nil)
		problemOf(t, w, want)
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %s", err, w.Body)
		}
	}
	detail, _ := problemOf(t, ask(newTestServer(t, ticked(), nil), http.MethodGet, "/api/v1/events", nil), http.StatusServiceUnavailable)
	if !strings.Contains(detail, "store.backend") {
		t.Errorf("%q does not say why", detail)
	}
}
