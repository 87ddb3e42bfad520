package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/alerting"
	"sysotel/agent/notify"
	"sysotel/agent/query"
)

// fakeAlerting returns the examples of the documentation, or with an error.
type fakeAlerting struct {
	err     error
	did     []string
	query   alerting.HistoryQuery
	preview alerting.PreviewQuery
}

func (f *fakeAlerting) note(format string, args ...any) (alerting.RuleStatus, error) {
	f.did = append(f.did, fmt.Sprintf(format, args...))
	return exampleRule(), f.err
}

func (*fakeAlerting) Alerts() []alerting.Alert {
	pending := exampleAlert()
	pending.State, pending.Rule, pending.Silences = alerting.Pending, "Other", []string{"s"}
	return []alerting.Alert{exampleAlert(), pending}
}

func (f *fakeAlerting) History(_ context.Context, q alerting.HistoryQuery) ([]alerting.Episode, error) {
	f.query = q
	return slices.Repeat(exampleAlertHistory().Episodes, q.Limit), f.err
}
func (*fakeAlerting) Rules() []alerting.RuleStatus { return []alerting.RuleStatus{exampleRule()} }
func (f *fakeAlerting) AddThreshold(_ context.Context, t alerting.Threshold) (alerting.RuleStatus, error) {
	return f.note("add %s %v", t.Name, t.Enabled)
}

func (f *fakeAlerting) ChangeThreshold(_ context.Context, name string, t alerting.Threshold) (alerting.RuleStatus, error) {
	return f.note("change %s to %s %v", name, t.Name, t.Enabled)
}

func (f *fakeAlerting) RemoveThreshold(_ context.Context, name string) error {
	_, err := f.note("remove %s", name)
	return err
}

func (f *fakeAlerting) EnableRule(_ context.Context, name string, enabled bool) (alerting.RuleStatus, error) {
	return f.note("enable %s %v", name, enabled)
}

func (f *fakeAlerting) AdjustRule(_ context.Context, name string, by alerting.Adjustment) (alerting.RuleStatus, error) {
	if by.Threshold == nil {
		return f.note("adjust %s for %q", name, by.For)
	}
	return f.note("adjust %s to %g for %q", name, *by.Threshold, by.For)
}
func (*fakeAlerting) Export() ([]byte, error)      { return []byte("groups: []\n"), nil }
func (*fakeAlerting) Silences() []alerting.Silence { return nil }
func (f *fakeAlerting) AddSilence(_ context.Context, s alerting.Silence) (alerting.Silence, error) {
	_, err := f.note("silence by %s for %s", s.Author, s.End.Sub(s.Start).Round(time.Hour))
	s.ID = "1"
	return s, err
}

func (f *fakeAlerting) EndSilence(_ context.Context, id string) error {
	_, err := f.note("end silence %s", id)
	return err
}

func (f *fakeAlerting) Preview(_ context.Context, q alerting.PreviewQuery) (*alerting.Preview, error) {
	f.preview = q
	return examplePreview(), f.err
}

// fakeNotifier is the fake with the methods of a Notifier.
type fakeNotifier struct{ *fakeAlerting }

func (fakeNotifier) Channels() []notify.Channel { return nil }
func (f fakeNotifier) AddChannel(_ context.Context, name, options string) error {
	_, err := f.note("add channel %s %s", name, options)
	return err
}

func (f fakeNotifier) ChangeChannel(_ context.Context, name, options string) error {
	_, err := f.note("change channel %s %s", name, options)
	return err
}

func (f fakeNotifier) RemoveChannel(_ context.Context, name string) error {
	_, err := f.note("remove channel %s", name)
	return err
}

func (fakeNotifier) ChannelOptions(string) (map[string]any, error) {
	return map[string]any{"slack": map[string]any{"url": "<secret>"}}, nil
}

func (f fakeNotifier) Test(_ context.Context, name string) error {
	_, err := f.note("test %s", name)
	if errors.Is(err, alerting.ErrUnknown) {
		err = fmt.Errorf("%w: %s", notify.ErrUnknownChannel, name)
	}
	return err
}

func TestAlerts(t *testing.T) {
	fake := &fakeAlerting{}
	s := newTestServer(t, ticked(), func(o *Options) { o.Alerting = fake })
	f := func(query string, want ...string) {
		t.Helper()
		var answer Alerts
		if err := json.Unmarshal(ask(s, "GET", alertPath+query, nil).Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range answer.Alerts {
			got = append(got, a.Rule)
		}
		if !slices.Equal(got, want) || answer.Counts != (AlertCounts{Firing: 1, Pending: 1}) {
			t.Errorf("%s: %v and %+v, want %v", query, got, answer.Counts, want)
		}
	}
	f("", "HighCPUUsage", "Other")
	f("?state=firing", "HighCPUUsage")
	f("?state=firing&state=pending", "HighCPUUsage", "Other")
	f("?state=resolved")
	f("?rule=Other", "Other")
	f("?silenced=false", "HighCPUUsage")
	if w := ask(s, "GET", alertPath+"?state=broken", nil); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("an unknown state is answered %d", w.Code)
	}
	var history AlertHistory
	if err := json.Unmarshal(ask(s, "GET", alertPath+"/history?start=-1d&limit=2&rule=R&before=9", nil).Body.Bytes(), &history); err != nil {
		t.Fatal(err)
	}
	if len(history.Episodes) != 2 || history.Next != 17 || fake.query.Rule != "R" || fake.query.Before != 9 {
		t.Errorf("the history is %+v, asked with %+v", history, fake.query)
	}
	without := newTestServer(t, ticked(), nil)
	if w := ask(without, "GET", alertPath, nil); w.Code != http.StatusServiceUnavailable {
		t.Errorf("without a history alerts are answered %d", w.Code)
	}
}

func TestChangeAlerts(t *testing.T) {
	fake := &fakeAlerting{}
	s := newTestServer(t, ticked(), func(o *Options) { o.Alerting, o.Notifier = fake, fakeNotifier{fake} })
	until := time.Now().Add(4 * time.Hour).UTC().Format(time.RFC3339)
	const threshold = `{"name":"A","metric":"cpu_usage_total","op":">","threshold":80`
	for _, one := range []struct{ method, path, body, did string }{
		{"POST", "/rules", threshold + `}`, "add A true"},
		{"POST", "/rules", threshold + `,"enabled":false}`, "add A false"},
		{"PUT", "/rules/B%20b", threshold + `}`, "change B b to A true"},
		{"PATCH", "/rules/A", `{"enabled":false}`, "enable A false"},
		{"DELETE", "/rules/A", "", "remove A"},
		{"POST", "/silences", `{"end":"` + until + `","matchers":[{"name":"alertname","value":"A"}],"comment":"why"}`, "silence by nobody for 4h0m0s"},
		{"DELETE", "/silences/x", "", "end silence x"},
		{"POST", "/channels/mail/test", "", "test mail"},
	} {
		fake.did, fake.err = nil, nil
		if w := send(s, Caller{Role: Viewer}, one.method, alertPath+one.path, one.body, nil); w.Code != http.StatusForbidden && w.Code != http.StatusUnauthorized || len(fake.did) > 0 {
			t.Errorf("%s %s of a viewer is answered %d and does %v", one.method, one.path, w.Code, fake.did)
		}
		if w := send(s, Caller{Role: Admin}, one.method, alertPath+one.path, one.body, nil); w.Code != http.StatusOK || !slices.Equal(fake.did, []string{one.did}) {
			t.Errorf("%s %s is answered %d and does %v, want %s; %s", one.method, one.path, w.Code, fake.did, one.did, w.Body)
		}
		for _, refusal := range []struct {
			err    error
			status int
		}{
			{alerting.ErrUnknown, http.StatusNotFound},
			{alerting.ErrExists, http.StatusConflict},
			{alerting.ErrFixed, http.StatusConflict},
			{alerting.ValidationErrors{{Field: "op", Rule: "must be there"}}, http.StatusUnprocessableEntity},
			{errors.New("the disk is full"), http.StatusInternalServerError},
		} {
			err, status := refusal.err, refusal.status
			fake.err = err
			w := send(s, Caller{Role: Admin}, one.method, alertPath+one.path, one.body, nil)
			if strings.Contains(one.path, "/test") && status != http.StatusNotFound {
				status = http.StatusOK // The outcome is the response.
			}
			if w.Code != status {
				t.Errorf("%s %s with %v is answered %d, want %d", one.method, one.path, err, w.Code, status)
			}
		}
	}
}

func TestPreview(t *testing.T) {
	fake := &fakeAlerting{}
	s := newTestServer(t, ticked(), func(o *Options) { o.Alerting = fake })
	f := func(body string, status int, err error) {
		t.Helper()
		fake.err = err
		if w := send(s, Caller{Role: Viewer}, "POST", alertPath+"/preview", body, nil); w.Code != status {
			t.Errorf("%s is answered %d, want %d: %s", body, w.Code, status, w.Body)
		}
	}
	f(`{"expr":"up == 0","for":"5m","start":"-1d"}`, http.StatusOK, nil)
	if fake.preview.For != 5*time.Minute || fake.preview.Expr != "up == 0" {
		t.Errorf("asked with %+v", fake.preview)
	}
	f(`{}`, http.StatusUnprocessableEntity, nil)
	f(`{"expr":"up","threshold":{"name":"A","metric":"m","op":">","threshold":1}}`, http.StatusUnprocessableEntity, nil)
	f(`{"expr":"up","for":"5 minutes"}`, http.StatusUnprocessableEntity, nil)
	f(`{"expr":"up","start":"yesterday"}`, http.StatusUnprocessableEntity, nil)
	f(`{"expr":"up"}`, http.StatusUnprocessableEntity, &query.Error{Type: query.BadData, Err: errors.New("too many")})
	f(`{"expr":"up"}`, http.StatusServiceUnavailable, &query.Error{Type: query.Timeout, Err: errors.New("too long")})
}
