package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sysotel/agent/secret"
)

// webServer records requests and sends a configured response.
type webServer struct {
	*httptest.Server
	mu      sync.Mutex
	bodies  []string
	headers []http.Header
	answer  func(w http.ResponseWriter, r *http.Request)
}

func startWeb(t *testing.T) *webServer {
	t.Helper()
	s := &webServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.bodies, s.headers = append(s.bodies, string(body)), append(s.headers, r.Header)
		answer := s.answer
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(s.Close)
	return s
}

// body decodes the newest that was posted.
func (s *webServer) body(t *testing.T, into any) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bodies) == 0 {
		t.Fatal("nothing was posted")
	}
	if err := json.Unmarshal([]byte(s.bodies[len(s.bodies)-1]), into); err != nil {
		t.Fatal(err)
	}
}

// tidyUp closes the idle connections of a poster.
func (p *poster) tidyUp(t *testing.T) { t.Cleanup(p.client.CloseIdleConnections) }

func newChat(t *testing.T, address string) *slack {
	t.Helper()
	s, err := newSlack(SlackConfig{URL: secret.Text(address)})
	if err != nil {
		t.Fatal(err)
	}
	s.poster.tidyUp(t)
	return s
}

func TestSlack(t *testing.T) {
	web := startWeb(t)
	if err := sendBy(t, newChat(t, web.URL), firing("HighCPU")); err != nil {
		t.Fatal(err)
	}
	var got slackMessage
	web.body(t, &got)
	want(t, "the text", got.Text, "FIRING HighCPU on web1: 93.4 %")
	if len(got.Attachments) != 1 {
		t.Fatalf("there are %d attachments", len(got.Attachments))
	}
	a := got.Attachments[0]
	want(t, "the title", a.Title, "FIRING HighCPU on web1: 93.4 %")
	want(t, "the link", a.TitleLink, firing("").Link)
	want(t, "the text", a.Text, "Summary: The processors are busy.\nHost: web1\nRule: HighCPU\nSeverity: warning\n"+
		"Value: 93.4 %\nThreshold: &gt; 80 %\nSince: "+stamp(noon)+" (5m ago)\nLabels: device=sda\n"+
		"Processes: stress (pid 4711) 98.1 % CPU, 12 MiB")
}

// TestHostileSlack: names contain no markup, mentions or line breaks.
func TestHostileSlack(t *testing.T) {
	web := startWeb(t)
	if err := sendBy(t, newChat(t, web.URL), hostileNotice()); err != nil {
		t.Fatal(err)
	}
	var got slackMessage
	web.body(t, &got)
	if got.Markdown || got.LinkNames || got.Parse != "none" || len(got.Attachments[0].MarkdownIn) != 0 {
		t.Errorf("markup is enabled: %+v", got)
	}
	a := got.Attachments[0]
	for _, text := range []string{got.Text, a.Title, a.Fallback, a.Text} {
		for _, part := range []string{"<", ">", "@channel", "@everyone", "\u202e", "\x1b", "\r", "\nBcc"} {
			if strings.Contains(text, part) {
				t.Errorf("%q holds %q", text, part)
			}
		}
	}
	if n := strings.Count(a.Text, "\n"); n != 9 {
		t.Errorf("there are %d line breaks: %s", n, a.Text)
	}
}

func TestSlackMore(t *testing.T) {
	web := startWeb(t)
	var all []Notice
	for range 25 {
		all = append(all, firing("cpu"))
	}
	if err := sendBy(t, newChat(t, web.URL), all...); err != nil {
		t.Fatal(err)
	}
	var got slackMessage
	web.body(t, &got)
	want(t, "the text", got.Text, "25 alerts: 25 FIRING cpu")
	want(t, "the number of attachments", len(got.Attachments), 11)
	want(t, "the last", got.Attachments[10].Text, "15 more: 15 FIRING cpu")
}

func TestResponses(t *testing.T) {
	f := func(name string, answer func(w http.ResponseWriter, r *http.Request), wantErr string, final bool, after time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			web := startWeb(t)
			web.answer = answer
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			err := newChat(t, web.URL+"/topsecret").send(ctx, message{id: "m1", notices: []Notice{firing("a")}})
			if err == nil || !strings.Contains(err.Error(), wantErr) || strings.Contains(err.Error(), "topsecret") {
				t.Fatalf("the error is %v, want %q in it and no address", err, wantErr)
			}
			r, refused := errors.AsType[*refusal](err)
			want(t, "whether it is final", refused && r.final, final)
			if refused {
				want(t, "the pause", r.after, after)
			}
		})
	}
	status := func(code int, header, text string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set("Retry-After", header)
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, text)
		}
	}
	f("429", status(429, "", ""), "429 Too Many Requests", false, 0)
	f("429 with Retry-After", status(429, "42", ""), "429", false, 42*time.Second)
	f("429 for a very long time", status(429, "99999999999", ""), "429", false, time.Hour)
	f("503 with Retry-After", status(503, "7", ""), "503", false, 7*time.Second)
	f("500", status(500, "", "rollback_error"), "500 Internal Server Error: rollback_error", false, 0)
	f("404", status(404, "", "no_service\x1b\n"), "404 Not Found: no_service", true, 0)
	f("a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302", true, 0)
	f("hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "deadline", false, 0)
	f("closes", func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	}, "EOF", false, 0)
}

func TestRetryAfterDate(t *testing.T) {
	want(t, "the pause", retryAfter("Mon, 02 Feb 2026 12:01:30 GMT", noon), 90*time.Second)
	want(t, "the pause", retryAfter("Mon, 02 Feb 2026 11:00:00 GMT", noon), time.Duration(0))
	want(t, "the pause", retryAfter("soon", noon), time.Duration(0))
}

func TestWebhook(t *testing.T) {
	web := startWeb(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("Bearer topsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := newWebhook(WebhookConfig{URL: secret.Text(web.URL), Headers: map[string]secret.Text{"Authorization": secret.Text("${file:" + file + "}")}}, site{channel: "hook", page: func() string { return "https://web1.example.org/" }})
	if err != nil {
		t.Fatal(err)
	}
	w.poster.tidyUp(t)
	if err := sendBy(t, w, firing("HighCPU"), hostileNotice()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version, Status, Receiver, GroupKey, ExternalURL string
		Alerts                                           []struct {
			Status, GeneratorURL string
			Labels, Annotations  map[string]string
			StartsAt             time.Time
		}
		Notices []Notice
	}
	web.body(t, &got)
	want(t, "the head", []string{got.Version, got.Status, got.Receiver, got.GroupKey, got.ExternalURL}, "[4 firing hook sysotel/hook https://web1.example.org]")
	a := got.Alerts[0]
	want(t, "the labels", a.Labels, map[string]string{"alertname": "HighCPU", "device": "sda", "host_name": "web1", "severity": "warning"})
	want(t, "the value", a.Annotations["value"], "93.4 %")
	want(t, "the processes", a.Annotations["processes"], "stress (pid 4711) 98.1 % CPU, 12 MiB")
	want(t, "the start", a.StartsAt, noon)
	want(t, "the notice", got.Notices[0].Processes, []Process{{Name: "stress", PID: 4711, CPUPercent: 98.1, MemoryBytes: 12 << 20}})
	want(t, "the secret", web.headers[0].Get("Authorization"), "Bearer topsecret")
	want(t, "the key", web.headers[0].Get("Idempotency-Key"), "m1")
	if name := got.Notices[1].Processes[0].Name; strings.ContainsAny(name, "\n\r\x1b\u202e") {
		t.Errorf("the name is %q", name)
	}
	if err := sendBy(t, w, resolved("HighCPU")); err != nil {
		t.Fatal(err)
	}
	web.body(t, &got)
	want(t, "the status", got.Status, "resolved")
}

func TestHeartbeat(t *testing.T) {
	beats := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		beats <- r.Method
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	var dead error
	o := Options{Log: discard(), Alive: func() error { return dead }}
	o.Config.Heartbeat = HeartbeatConfig{URL: secret.Text(server.URL), Interval: time.Minute}
	h, err := newHeartbeat(o)
	if err != nil {
		t.Fatal(err)
	}
	h.poster.tidyUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { h.run(ctx); close(ended) }()
	want(t, "the call", <-beats, "GET")
	cancel()
	<-ended
	go func() { <-beats }()
	h.note(h.beat(t.Context()))
	want(t, "the health", h.reason(), "heartbeat: the response was 418 I'm a teapot")
	dead = errors.New("the clock stands still")
	h.note(h.beat(t.Context())) // It would block if it called.
	want(t, "the health", h.reason(), "heartbeat: withheld: alert rules are not evaluated: the clock stands still")
}
