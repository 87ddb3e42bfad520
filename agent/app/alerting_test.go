//go:build linux

package app

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"sysotel/api"
)

// burning is the name of the program that uses the processors.
const burning = "alertburn"

// delivered counts the messages of a channel; named are those of a firing alert that
// name the program.
type delivered struct{ firing, resolved, named int }

// add counts a message.
func (n *delivered) add(text string) {
	n.firing += strings.Count(text, "FIRING ProcessorsBusy")
	n.resolved += strings.Count(text, "RECOVERED ProcessorsBusy")
	if strings.Contains(text, "FIRING ProcessorsBusy") && strings.Contains(text, burning+" (pid ") {
		n.named++
	}
}

// inbox is a mail server and a chat that count messages.
type inbox struct {
	mail, chat string // their addresses
	mu         sync.Mutex
	mails      delivered
	posts      delivered
	// mailed and posted are the texts of all.
	mailed, posted []string
	// bodies are those of the mails, as they were sent.
	bodies []string
}

// openInbox starts both.
func openInbox(t *testing.T) *inbox {
	t.Helper()
	in := &inbox{}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailbox{in}, nil }))
	server.Domain = "localhost"
	go func() { _ = server.Serve(l) }() // Serve always returns an error.
	t.Cleanup(func() { _ = server.Close() })
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		// The headline is in the text, the title and the fallback; count it once.
		text, rest, _ := strings.Cut(string(body), `"attachments"`)
		in.mu.Lock()
		defer in.mu.Unlock()
		if strings.Contains(rest, burning+" (pid ") {
			text += burning + " (pid "
		}
		in.posts.add(text)
		in.posted = append(in.posted, text)
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(web.Close)
	in.mail, in.chat = l.Addr().String(), web.URL
	return in
}

// mailbox is one connection of the mail server.
type mailbox struct{ in *inbox }

func (mailbox) Mail(string, *smtp.MailOptions) error { return nil }
func (mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mailbox) Reset()                               {}
func (mailbox) Logout() error                        { return nil }

func (b mailbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	// Count the subject only: the text and the HTML part repeat it.
	head, rest, _ := strings.Cut(string(text), "\r\n\r\n")
	if strings.Contains(strings.ReplaceAll(rest, "=\r\n", ""), burning+" (pid ") {
		head += burning + " (pid "
	}
	b.in.mu.Lock()
	defer b.in.mu.Unlock()
	head = strings.ReplaceAll(head, "\r\n ", " ")
	b.in.mails.add(head)
	b.in.mailed = append(b.in.mailed, head)
	b.in.bodies = append(b.in.bodies, rest)
	return nil
}

// lines counts the lines of the log channel.
func lines(path string) (n delivered) {
	text, _ := os.ReadFile(path) // The file is created by the first alert.
	for line := range strings.Lines(string(text)) {
		_, message, _ := strings.Cut(line, `"message":`)
		n.add(strings.ReplaceAll(message, `"name":"`+burning+`","pid":`, burning+" (pid "))
	}
	return n
}

// alertConfig writes a configuration with three channels and one rule. The rule has a
// result only while our program runs, so that a busy machine does not fire it.
func alertConfig(t *testing.T, in *inbox) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sysotel.yaml")
	text := fmt.Sprintf(`
alerting:
  defaults: false
  interval: 1s
  group_wait: 0s
  channels:
    - {name: mail, email: {server: "%s", tls: none, from: sysotel@example.org, to: [ops@example.org]}}
    - {name: chat, slack: {url: "%s"}}
    - {name: file, log: {file: alerts.log}}
  thresholds:
    - name: ProcessorsBusy
      expr: 100 * sysotel_cpu_usage_ratio and on() (sum(process_cpu_utilization_ratio{process_executable_name="%s"}) > 0.05)
      op: ">"
      threshold: 80
      for: 3s
`, in.mail, in.chat, burning)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAlertsEndToEnd: a process uses all processors, and three channels name it once
// each. The agent is killed with SIGKILL and started again; the process stops, and
// each channel reports the recovery once.
func TestAlertsEndToEnd(t *testing.T) {
	in, c := openInbox(t), configure(t)
	flags := append(sameFlags(c), "--config="+alertConfig(t, in))
	log := filepath.Join(c.DataDir, "log", "alerts.log")
	await := func(want delivered) {
		t.Helper()
		poll(t, func() error {
			in.mu.Lock()
			defer in.mu.Unlock()
			for name, got := range map[string]delivered{"mail": in.mails, "chat": in.posts, "file": lines(log)} {
				if got != want {
					return fmt.Errorf("%s got %+v, want %+v", name, got, want)
				}
			}
			return nil
		})
	}
	client := unixClient(c)
	t.Cleanup(client.CloseIdleConnections)
	killed := spawn(t, "agent", "alertagent", nil, flags...)
	awaitTick(t, client, 2)
	fire := spawn(t, "blaze", burning, nil)
	fire.send("burn")
	fire.answer(nil)
	await(delivered{firing: 1, named: 1})
	// The agent must have recorded the deliveries before it is killed.
	poll(t, func() error { return allDelivered(t, client) })
	killed.Kill()

	spawn(t, "agent", "alertagent", nil, flags...)
	now := awaitTick(t, client, 5)
	fire.send("stop")
	fire.answer(nil)
	await(delivered{firing: 1, resolved: 1, named: 1})
	awaitTick(t, client, now.Tick+10)
	await(delivered{firing: 1, resolved: 1, named: 1})
}

// TestLinksBelowAPath: behind a proxy that serves the agent below a path, the links in
// messages of every kind lead there: the link to the dashboard, the generator's URL, and
// what a rule says of them itself.
func TestLinksBelowAPath(t *testing.T) {
	in := openInbox(t)
	var mu sync.Mutex
	bodies := map[string]string{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies[r.URL.Path] += string(body)
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(web.Close)
	dir := t.TempDir()
	text := fmt.Sprintf(`
http: {behind_proxy: true, external_url: "https://host.example/sysotel/"}
alerting:
  defaults: false
  interval: 1s
  group_wait: 0s
  rules: [rules.yml]
  channels:
    - {name: mail, email: {server: "%[1]s", tls: none, from: sysotel@example.org, to: [ops@example.org]}}
    - {name: chat, slack: {url: "%[2]s/chat"}}
    - {name: hook, webhook: {url: "%[2]s/hook"}}
    - {name: team, receiver: {slack_configs: [{api_url: "%[2]s/team", channel: x}]}}
  external_alertmanager: {urls: ["%[2]s"]}
`, in.mail, web.URL)
	const rules = `groups: [{name: g, rules: [{alert: Always, expr: vector(1), annotations: {description: "see {{ externalURL }}{{ pathPrefix }}/x"}}]}]`
	file := filepath.Join(dir, "sysotel.yaml")
	if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(rules), 0o600)); err != nil {
		t.Fatal(err)
	}
	run(t, configure(t, "--config="+file))
	poll(t, func() error {
		in.mu.Lock()
		defer in.mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		all := map[string]string{"mail": strings.Join(in.bodies, "\n")}
		for path, body := range bodies {
			all[path] = body
		}
		if !strings.Contains(all["/team"], `"title_link":"https://host.example/sysotel/alerts"`) {
			return fmt.Errorf("the receiver's link leads elsewhere: %s", all["/team"])
		}
		for _, one := range []string{"mail", "/chat", "/hook", "/api/v2/alerts"} {
			// The encodings of mail, of JSON and of HTML.
			plain := strings.NewReplacer("=\r\n", "", "=\n", "", "=3D", "=", `\u0026`, "&", "&amp;", "&").Replace(all[one])
			if !strings.Contains(plain, "https://host.example/sysotel/?from=") {
				return fmt.Errorf("%s has no link below the path: %s", one, plain)
			}
			if !strings.Contains(plain, "https://host.example/sysotel/sysotel/x") {
				return fmt.Errorf("%s has no link of the rule: %s", one, plain)
			}
			if strings.Contains(strings.ReplaceAll(plain, "https://host.example/sysotel", ""), "host.example/") {
				return fmt.Errorf("%s has a link without the path: %s", one, plain)
			}
		}
		return nil
	})
}

// allDelivered returns an error that names a channel with undelivered notifications.
func allDelivered(t *testing.T, client *http.Client) error {
	t.Helper()
	var answer api.Channels
	decode(t, get(t, client, "/api/v1/alerts/channels"), &answer)
	if len(answer.Channels) != 3 {
		return fmt.Errorf("the channels are %v", answer.Channels)
	}
	for _, c := range answer.Channels {
		if c.Waiting > 0 || c.LastError != "" {
			return fmt.Errorf("channel %+v", c)
		}
	}
	return nil
}

// blaze keeps every processor busy from "burn" to "stop". It has many threads, to get
// most of a busy machine.
func blaze() func(words []string) (any, error) {
	runtime.GOMAXPROCS(8 * runtime.NumCPU())
	stop := make(chan struct{})
	return func(words []string) (any, error) {
		switch words[0] {
		case "burn":
			for range runtime.GOMAXPROCS(0) {
				go func() {
					for n := 0; ; n++ {
						if n%(1<<20) == 0 {
							select {
							case <-stop:
								return
							default:
							}
						}
					}
				}()
			}
			return nil, nil
		case "stop":
			close(stop)
			return nil, nil
		}
		return nil, errors.New("want burn or stop")
	}
}
