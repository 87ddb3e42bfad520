package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"sysotel/agent/alerting"
	"sysotel/agent/notify"
)

// TestChannelChanges: administrators add, change and delete channels, and read what was
// wrong.
func TestChannelChanges(t *testing.T) {
	fake := &fakeAlerting{}
	s := newTestServer(t, ticked(), func(o *Options) { o.Alerting, o.Notifier = fake, fakeNotifier{fake} })
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{nil, 200, `"url":"\u003csecret\u003e"`},
		{notify.Invalid{{Path: "slack.url", Rule: "must be https"}}, 422, `"location":"body.options.slack.url"`},
		{notify.Invalid{{Path: "name", Rule: "is wrong"}}, 422, `"location":"body.name"`},
		{notify.ErrExists, 409, "Another channel has that name"},
		{notify.ErrFixed, 409, "alerting.channels"},
		{notify.ErrUnknownChannel, 404, "There is no channel"},
		{&ChannelInUse{[]string{"Full"}}, 409, "name the channel: Full."},
		{errors.New("secret inner text"), 500, internalError},
	} {
		fake.err = c.err
		w := send(s, Caller{Role: Admin}, http.MethodPut, alertPath+"/channels/ops", `{"options":"slack: {}"}`, nil)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
	fake.err, fake.did = nil, nil
	send(s, Caller{Role: Admin}, http.MethodPost, alertPath+"/channels", `{"name":"ops","options":"log: {file: a}"}`, nil)
	send(s, Caller{Role: Admin}, http.MethodDelete, alertPath+"/channels/ops", "", nil)
	send(s, Caller{Role: Admin}, http.MethodPut, alertPath+"/rules/OOMKill/adjustment", `{"threshold":3,"for":"2m"}`, nil)
	send(s, Caller{Role: Admin}, http.MethodDelete, alertPath+"/rules/OOMKill/adjustment", "", nil)
	if got, want := strings.Join(fake.did, " | "), `add channel ops log: {file: a} | remove channel ops | adjust OOMKill to 3 for "2m" | adjust OOMKill for ""`; got != want {
		t.Errorf("did %s, want %s", got, want)
	}
	fake.err = alerting.ErrFixed
	if w := send(s, Caller{Role: Admin}, http.MethodDelete, alertPath+"/rules/Own/adjustment", "", nil); w.Code != http.StatusConflict {
		t.Errorf("not a built-in rule: %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/channels/ops", "/rules/OOMKill/adjustment"} {
		if w := askAs(s, Viewer, http.MethodDelete, alertPath+path, nil); w.Code != http.StatusForbidden {
			t.Errorf("a viewer deletes %s: %d", path, w.Code)
		}
	}
	if w := askAs(s, Viewer, http.MethodGet, alertPath+"/channels/ops", nil); w.Code != http.StatusForbidden {
		t.Errorf("a viewer reads options: %d", w.Code)
	}
}
