package notify

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func newVerbatim(t *testing.T, text string) *receiver {
	t.Helper()
	r, err := newReceiver(receiverOf(t, text), site{channel: "ops", page: func() string { return "https://web1.example.org/sysotel/" }}, "web1.example.org", discard())
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

// TestReceiverGlobal: what receivers have in common has the Alertmanager's meaning: a
// receiver's own value comes first, and what neither has is refused by name.
func TestReceiverGlobal(t *testing.T) {
	t.Setenv("SYSOTEL_TEST_TOKEN", "topsecret")
	web := startWeb(t)
	web.noKeepAlive()
	global := func(text string) (g Global) {
		t.Helper()
		if err := yaml.Unmarshal([]byte(text), &g); err != nil {
			t.Fatal(err)
		}
		return g
	}
	both := global("slack_api_url: " + web.URL + "/all/${env:SYSOTEL_TEST_TOKEN}\nhttp_config: {authorization: {credentials: '${env:SYSOTEL_TEST_TOKEN}'}}\nresolve_timeout: 5m")
	for text, want := range map[string]string{
		"  slack_configs: [{channel: '#ops'}]":                                    "/all/topsecret Bearer topsecret",
		"  slack_configs: [{channel: '#ops', api_url: '" + web.URL + "/own'}]":    "/own Bearer topsecret",
		"  webhook_configs: [{url: '" + web.URL + "/${env:SYSOTEL_TEST_TOKEN}'}]": "/topsecret Bearer topsecret",
		"  webhook_configs: [{url: '" + web.URL + "/x', http_config: {}}]":        "/x ",
	} {
		got := ""
		web.answer = func(w http.ResponseWriter, r *http.Request) {
			got = r.URL.Path + " " + r.Header.Get("Authorization")
			_, _ = io.WriteString(w, "ok")
		}
		r, err := newReceiver(receiverOf(t, text), site{channel: "ops", global: both}, "h", discard())
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if err := sendBy(t, r, firing("a")); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got != want {
			t.Errorf("%s: it posted to %q, want %q", text, got, want)
		}
	}
	refused := []struct{ receiver, global, want string }{
		{"  slack_configs: [{channel: '#ops'}]", "{}", "no Slack API URL nor App token set either inline or in a file; it may stand in the receiver, or in alerting.global for all"},
		{"  email_configs: [{to: a@example.org}]", "slack_api_url: https://topsecret.example", "no global SMTP smarthost set; it may stand in the receiver, or in alerting.global for all"},
		{"  opsgenie_configs: [{message: x}]", "opsgenie_api_url: https://example.org", "no global OpsGenie API Key set"},
		{"  slack_configs: [{channel: '#ops'}]", "slack_api_ulr: https://topsecret.example", "field slack_api_ulr not found"},
		{"  slack_configs: [{channel: '#ops'}]", "slack_api_url: https://topsecret.example\nslack_api_url_file: /x", "at most one of slack_api_url & slack_api_url_file must be configured"},
		{"  slack_configs: [{channel: '#ops', api_url: '${env:SYSOTEL_TEST_NONE}'}]", "{}", "api_url: the variable SYSOTEL_TEST_NONE is not set"},
		{"  slack_configs: [{channel: '${CHANNEL}', api_url: 'https://example.org'}]", "{}", "channel: must be ${file:PATH} or ${env:NAME}"},
	}
	for _, one := range refused {
		_, err := newReceiver(receiverOf(t, one.receiver), site{channel: "ops", global: global(one.global)}, "h", discard())
		if err == nil || !strings.Contains(err.Error(), one.want) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s with %s: %v, want %s", one.receiver, one.global, err, one.want)
		}
	}
	var c Config
	c.Global = global("slack_api_ulr: https://example.org")
	var found []string
	c.Global.validate(func(path string, value any, rule string) { found = append(found, rule) })
	if len(found) != 1 || !strings.Contains(found[0], "field slack_api_ulr not found") {
		t.Errorf("the block alone: %q", found)
	}
	shown, err := yaml.Marshal(Config{Global: both})
	if err != nil || strings.Contains(string(shown), web.URL) || !strings.Contains(string(shown), "slack_api_url: <secret>") {
		t.Errorf("it is shown as %s %v", shown, err)
	}
	located := global("slack_api_url_file: token\nsmtp_auth_password: ${file:pass}\nhttp_config: {tls_config: {ca_file: /etc/ca}}")
	located.StartFrom("/etc/sysotel")
	for _, want := range []string{"slack_api_url_file: /etc/sysotel/token", "smtp_auth_password: ${file:/etc/sysotel/pass}", "ca_file: /etc/ca"} {
		if !strings.Contains(string(located), want) {
			t.Errorf("no %s in\n%s", want, located)
		}
	}
}

// TestReceiverLinks: what the Alertmanager's templates link to is the agent's page, below
// its path; its own has no page at "/#/alerts".
func TestReceiverLinks(t *testing.T) {
	web := startWeb(t)
	web.noKeepAlive()
	web.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }
	for text, link := range map[string]string{
		"  slack_configs: [{api_url: " + web.URL + ", channel: '#ops'}]":                                    `"title_link":"https://web1.example.org/sysotel/alerts"`,
		"  mattermost_configs: [{webhook_url: " + web.URL + "}]":                                            `"title_link":"https://web1.example.org/sysotel/alerts"`,
		"  pagerduty_configs: [{routing_key: x, url: " + web.URL + "}]":                                     `"client":"sysotel","client_url":"https://web1.example.org/sysotel/alerts"`,
		"  webhook_configs: [{url: " + web.URL + "}]":                                                       `"externalURL":"https://web1.example.org/sysotel"`,
		"  slack_configs: [{api_url: " + web.URL + ", channel: '#ops', text: '{{ .ExternalURL }}/alerts'}]": `"text":"https://web1.example.org/sysotel/alerts"`,
	} {
		before := len(web.bodies)
		if err := sendBy(t, newVerbatim(t, text), firing("a")); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if body := web.bodies[before]; !strings.Contains(body, link) || strings.Contains(body, "#/alerts") {
			t.Errorf("%s posts %s, without %s", text, body, link)
		}
	}
}

// TestReceiverOfNothing: as in the Alertmanager a receiver may send nothing; a test of it
// says so.
func TestReceiverOfNothing(t *testing.T) {
	r := newVerbatim(t, "  {}")
	if err := sendBy(t, r, firing("a")); err != nil {
		t.Error(err)
	}
	if err := r.send(t.Context(), message{id: "t", test: true, notices: []Notice{firing("a")}}); err == nil || !strings.Contains(err.Error(), "it sends nothing") {
		t.Errorf("its test: %v", err)
	}
	c := Config{Channels: []ChannelConfig{{Name: "null", Receiver: receiverOf(t, "  {}")}, {Name: "ops", Receiver: receiverOf(t, "  pagerduty_configs: [{routing_key: x}]")}}}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "alerting.channels[0].receiver: null sends nothing") {
		t.Errorf("the warnings are %q", w)
	}
	there := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(there, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = Config{Channels: []ChannelConfig{
		{Name: "ops", Receiver: receiverOf(t, "  pagerduty_configs: [{routing_key_file: "+there+"}, {routing_key_file: "+there+".none}]")},
		{Name: "chat", Receiver: receiverOf(t, "  slack_configs: [{channel: x}]")},
	}}
	if err := yaml.Unmarshal([]byte("slack_api_url_file: "+there+".absent"), &c.Global); err != nil {
		t.Fatal(err)
	}
	w := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{"alerting.channels[0].receiver: routing_key_file: cannot read the file " + there + ".none: no such file", "alerting.global.slack_api_url_file: cannot read the file " + there + ".absent: no such file"} {
		if strings.Count(w, want) != 1 || strings.Count(w, "\n") != 1 {
			t.Errorf("the warnings are %q, want %q", w, want)
		}
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
