package notify

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func newVerbatim(t *testing.T, text string) *receiver {
	t.Helper()
	r, err := newReceiver("ops", receiverOf(t, text), "web1.example.org", discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return r
}

// noKeepAlive has a server close each connection: the library keeps its client to
// itself, and so its idle connections.
func (s *webServer) noKeepAlive() { s.Config.SetKeepAlivesEnabled(false) }

// TestReceiverKeys: an incident is closed with the key that opened it, also if other
// alerts were in the message.
func TestReceiverKeys(t *testing.T) {
	web := startWeb(t)
	web.noKeepAlive()
	r := newVerbatim(t, "  webhook_configs: [{url: "+web.URL+", send_resolved: true}]")
	if err := sendBy(t, r, firing("a"), firing("b")); err != nil {
		t.Fatal(err)
	}
	if err := sendBy(t, r, resolved("a")); err != nil {
		t.Fatal(err)
	}
	keys := func(i int) string {
		_, after, _ := strings.Cut(web.bodies[i], `"groupKey":"`)
		key, _, _ := strings.Cut(after, `"`)
		return key
	}
	want(t, "the number of posts", len(web.bodies), 3)
	want(t, "the key", keys(0), "sysotel/ops/a")
	want(t, "the key", keys(1), "sysotel/ops/b")
	want(t, "the key", keys(2), "sysotel/ops/a")
	if !strings.Contains(web.bodies[2], `"status":"resolved"`) || !strings.Contains(web.bodies[0], `"processes":"stress (pid 4711) 98.1 % CPU, 12 MiB"`) {
		t.Errorf("it posted %s", web.bodies)
	}
}

// TestReceiverSendsOnce: if one of two integrations fails, the other does not send
// again.
func TestReceiverSendsOnce(t *testing.T) {
	good, bad := startWeb(t), startWeb(t)
	good.noKeepAlive()
	bad.noKeepAlive()
	code := http.StatusTooManyRequests
	bad.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	r := newVerbatim(t, "  webhook_configs: [{url: "+good.URL+"}, {url: "+bad.URL+"/topsecret}]")
	f := func(wantErr string, final bool) {
		t.Helper()
		err := sendBy(t, r, firing("a"))
		if wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Fatalf("the error is %v, want %q in it", err, wantErr)
		}
		refused, ok := errors.AsType[*refusal](err)
		want(t, "whether it is final", ok && refused.final, final)
	}
	f("429", false)
	code = http.StatusBadRequest
	f("400", true)
	code = http.StatusOK
	f("", false)
	want(t, "what the good one got", len(good.bodies), 1)
	want(t, "what the bad one got", len(bad.bodies), 3)
}

// TestReceiverCollapses: of many alerts ten are sent and the others counted; every
// recovery is sent, so that no incident stays open.
func TestReceiverCollapses(t *testing.T) {
	web := startWeb(t)
	web.noKeepAlive()
	r := newVerbatim(t, "  webhook_configs: [{url: "+web.URL+"}]")
	var bad, good []Notice
	for name := range strings.SplitSeq("abcdefghijklmno", "") {
		bad, good = append(bad, firing(name)), append(good, resolved(name))
	}
	if err := sendBy(t, r, bad...); err != nil {
		t.Fatal(err)
	}
	want(t, "the number of posts", len(web.bodies), 11)
	if last := web.bodies[10]; !strings.Contains(last, "5 more: 1 FIRING k, 1 FIRING l, ") {
		t.Errorf("the last is %s", last)
	}
	r.message = "" // Otherwise it would skip what it sent already.
	if err := sendBy(t, r, good...); err != nil {
		t.Fatal(err)
	}
	want(t, "the number of posts", len(web.bodies), 26)
}

// TestHostileReceiver: names are defused, because the library's templates do not
// escape.
func TestHostileReceiver(t *testing.T) {
	web := startWeb(t)
	web.noKeepAlive()
	web.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
	r := newVerbatim(t, `  slack_configs:
  - api_url: `+web.URL+`
    link_names: true
    title: "{{ .CommonLabels.alertname }}"
    text: "{{ range .Alerts }}{{ .Annotations.processes }} {{ .Annotations.summary }}{{ end }}"
  webhook_configs: [{url: `+web.URL+`}]
  mattermost_configs: [{webhook_url: `+web.URL+`, text: "{{ .CommonAnnotations.processes }}"}]`)
	if err := sendBy(t, r, hostileNotice()); err != nil {
		t.Fatal(err)
	}
	want(t, "the number of posts", len(web.bodies), 3)
	for _, body := range web.bodies {
		for _, part := range []string{"<!channel>", "<b>", `\u003c!channel`, `\u003cb`, "@channel", "@everyone", "](http", `\r`, `\u202e`, "\u202e", `\u001b`} {
			if strings.Contains(body, part) {
				t.Errorf("%q is in %s", part, body)
			}
		}
	}
}

// TestReceiverHangs: a mail server that does not respond does not pile up goroutines.
func TestReceiverHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 10)
	go func() {
		defer close(conns)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns <- conn
		}
	}()
	r := newVerbatim(t, "  email_configs: [{to: a@example.org, from: b@example.org, smarthost: '"+l.Addr().String()+"'}]")
	for _, wanted := range []string{"deadline exceeded", "an earlier attempt is still waiting", "an earlier attempt is still waiting"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := r.send(ctx, message{id: "m1", notices: []Notice{firing("a")}}); err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("the error is %v, want %q in it", err, wanted)
		}
		cancel()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for conn := range conns {
		n++
		_ = conn.Close()
	}
	want(t, "the number of connections", n, 1)
}

// TestReceiverBudget: a template that is harmless until an alert has a certain label
// ends soon, and the alert is sent as far as the receiver's texts go. The next one has
// a whole budget.
func TestReceiverBudget(t *testing.T) {
	for name, loop := range map[string]string{
		"a loop":       "{{ range 1000000000 }}{{ end }}",
		"a long text":  `{{ $x := .Labels.device }}{{ range 40 }}{{ $x = print $x $x }}{{ end }}`,
		"a wide field": `{{ range 100 }}{{ printf "%60000s" "x" }}{{ end }}`,
	} {
		t.Run(name, func(t *testing.T) {
			web := startWeb(t)
			web.noKeepAlive()
			r := newVerbatim(t, "  slack_configs:\n  - api_url: "+web.URL+"\n    send_resolved: true\n    title: '{{ range .Alerts }}{{ if eq .Labels.device \"sda\" }}begun"+loop+"{{ else }}sound{{ end }}{{ end }}'")
			begin := time.Now()
			if err := r.send(t.Context(), message{id: "a", notices: []Notice{firing("cpu")}}); err != nil {
				t.Error(err) // The library's Slack sends what there is.
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			sound := firing("cpu")
			sound.Labels = map[string]string{"device": "sdb"}
			if err := r.send(t.Context(), message{id: "b", notices: []Notice{sound}}); err != nil {
				t.Error(err)
			}
			if len(web.bodies) != 2 || !strings.Contains(web.bodies[0], "begun") || len(web.bodies[0]) > 100_000 || !strings.Contains(web.bodies[1], "sound") {
				t.Errorf("it posted %.1000s", web.bodies)
			}
		})
	}
}
