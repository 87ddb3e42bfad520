package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// mailServer is a real SMTP server that keeps what it gets.
type mailServer struct {
	address, ca string

	mu      sync.Mutex
	mails   []string
	to      []string
	logins  int
	refused map[string]int // the code with which a recipient is refused
	hangs   bool
	tls     bool // whether the last session was encrypted
	strict  bool // whether it wants a full name in EHLO, as Postfix with reject_non_fqdn_helo_hostname
	hello   string
}

// startMail starts a server that takes user and password, with STARTTLS or with
// TLS from the start.
func startMail(t *testing.T, fromTheStart bool) *mailServer {
	t.Helper()
	web := httptest.NewUnstartedServer(nil) // It has a certificate for 127.0.0.1.
	web.StartTLS()
	t.Cleanup(web.Close)
	m := &mailServer{ca: filepath.Join(t.TempDir(), "ca.pem"), refused: map[string]int{}}
	if err := os.WriteFile(m.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(m)
	server.Domain = "mail.example.org"
	config := &tls.Config{Certificates: web.TLS.Certificates}
	server.TLSConfig = config
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.address = l.Addr().String()
	if fromTheStart {
		l = tls.NewListener(l, config)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // It ends with an error that says so.
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return m
}

// mailSession is one connection.
type mailSession struct {
	server *mailServer
	conn   *smtp.Conn
	known  bool
	to     []string
}

func (m *mailServer) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &mailSession{server: m, conn: c}, nil
}

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "me" || password != "topsecret" {
			return errors.New("wrong password")
		}
		s.known = true
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.logins++
		return nil
	}), nil
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	if !s.known {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if s.server.hello = s.conn.Hostname(); s.server.strict && !isGreeting(s.server.hello) {
		return &smtp.SMTPError{Code: 504, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: "Helo command rejected: need fully-qualified hostname"}
	}
	if code := s.server.refused[to]; code != 0 {
		return &smtp.SMTPError{Code: code, Message: "no such person"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	hangs := s.server.hangs
	s.server.mu.Unlock()
	if hangs {
		_, _ = io.Copy(io.Discard, s.conn.Conn()) // Until the client is tired of it.
		return errors.New("too late")
	}
	_, encrypted := s.conn.TLSConnectionState()
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.tls = encrypted
	s.server.mails = append(s.server.mails, string(text))
	s.server.to = append(s.server.to, strings.Join(s.to, ","))
	return nil
}

func (s *mailSession) Reset()        { s.to = nil }
func (s *mailSession) Logout() error { return nil }

// config is a channel that uses the server.
func (m *mailServer) config() EmailConfig {
	return EmailConfig{
		Server: m.address, CA: m.ca, Username: "me", Password: "topsecret",
		From: "Alerts <sysotel@example.org>", To: []string{"a@example.org", "Bea <b@example.org>"},
	}
}

// letter is a mail taken apart.
type letter struct {
	header     mail.Header
	text, page string
}

func (m *mailServer) letter(t *testing.T, i int) letter {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mails) <= i {
		t.Fatalf("there are %d mails", len(m.mails))
	}
	parsed, err := mail.ReadMessage(strings.NewReader(m.mails[i]))
	if err != nil {
		t.Fatal(err)
	}
	l := letter{header: parsed.Header}
	kind, parameters, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("the mail is %s, %v", kind, err)
	}
	parts := multipart.NewReader(parsed.Body, parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return l
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		switch kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); kind {
		case "text/plain":
			l.text = strings.ReplaceAll(string(body), "\r\n", "\n")
		case "text/html":
			l.page = string(body)
		default:
			t.Errorf("a part is %s", kind)
		}
	}
}

// sendBy sends notices by a sender as one message.
func sendBy(t *testing.T, s sender, all ...Notice) error {
	t.Helper()
	m := message{id: "m1"}
	for _, n := range all {
		m.notices = append(m.notices, n.cleaned())
	}
	return s.send(t.Context(), m)
}

func newMail(t *testing.T, c EmailConfig) *email {
	t.Helper()
	c.validate(site{}, func(path string, value any, rule string) { t.Errorf("%s: %v: %s", path, value, rule) })
	e, err := newEmail(c, site{host: "vm", timeout: sendTimeout})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEmail(t *testing.T) {
	for _, way := range []string{"starttls", "tls"} {
		t.Run(way, func(t *testing.T) {
			server := startMail(t, way == "tls")
			c := server.config()
			c.TLS = way
			if err := sendBy(t, newMail(t, c), firing("HighCPU")); err != nil {
				t.Fatal(err)
			}
			want(t, "the number of log-ins", server.logins, 1)
			want(t, "whether it was encrypted", server.tls, true)
			want(t, "who gets it", server.to, "[a@example.org,b@example.org]")
			l := server.letter(t, 0)
			want(t, "the subject", l.header.Get("Subject"), "FIRING HighCPU on web1: 93.4 %")
			want(t, "the message id", l.header.Get("Message-ID"), "<m1@example.org>")
			want(t, "who wrote it", l.header.Get("Auto-Submitted"), "auto-generated")
			want(t, "the text", l.text, "FIRING HighCPU on web1: 93.4 %\n"+
				"  Summary: The processors are busy.\n  Host: web1\n  Rule: HighCPU\n  Severity: warning\n"+
				"  Value: 93.4 %\n  Threshold: > 80 %\n  Since: "+stamp(noon)+" (5m ago)\n  Labels: device=sda\n"+
				"  Processes: stress (pid 4711) 98.1 % CPU, 12 MiB\n"+
				"  https://web1.example.org/?from=2026-02-02T11:55:00Z&to=2026-02-02T12:05:00Z&host=web1\n\n")
			for _, part := range []string{"FIRING HighCPU on web1: 93.4 %", "stress (pid 4711) 98.1 % CPU, 12 MiB", "&gt; 80 %", `href="https://web1.example.org/?from=2026-02-02T11:55:00Z&amp;to=`} {
				if !strings.Contains(l.page, part) {
					t.Errorf("the page lacks %q:\n%s", part, l.page)
				}
			}
		})
	}
}

// TestEmailThread: an alert and its recovery are in one thread.
func TestEmailThread(t *testing.T) {
	server := startMail(t, false)
	e := newMail(t, server.config())
	if err := errors.Join(sendBy(t, e, firing("a")), sendBy(t, e, resolved("a")), sendBy(t, e, firing("b"))); err != nil {
		t.Fatal(err)
	}
	thread := func(i int) string { return server.letter(t, i).header.Get("References") }
	if thread(0) == "" || thread(0) != thread(1) || thread(0) == thread(2) {
		t.Errorf("the threads are %s, %s and %s", thread(0), thread(1), thread(2))
	}
	want(t, "the subject", server.letter(t, 1).header.Get("Subject"), "RECOVERED a on web1: 12 %")
}

// TestHostileEmail: names become no headers, lines or elements.
func TestHostileEmail(t *testing.T) {
	server := startMail(t, false)
	if err := sendBy(t, newMail(t, server.config()), hostileNotice()); err != nil {
		t.Fatal(err)
	}
	want(t, "who gets it", server.to, "[a@example.org,b@example.org]")
	l := server.letter(t, 0)
	if l.header.Get("Bcc") != "" {
		t.Error("a name became a header")
	}
	for _, part := range []string{"<script", "<b>", "<!channel", "\u202e", "\x1b"} {
		if strings.Contains(l.page, part) {
			t.Errorf("the page holds %q:\n%s", part, l.page)
		}
	}
	if strings.ContainsAny(l.text, "\u202e\x1b\r") || strings.Contains(l.text, "\nBcc") {
		t.Errorf("the text holds what it should not:\n%s", l.text)
	}
	for line := range strings.Lines(l.text) {
		if line != "\n" && !strings.HasPrefix(line, "FIRING ") && !strings.HasPrefix(line, "  ") {
			t.Errorf("a name made the line %q", line)
		}
	}
}

func TestEmailRefusals(t *testing.T) {
	f := func(name string, refused map[string]int, change func(*EmailConfig), wantTo, wantErr string, final bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			server := startMail(t, false)
			server.refused = refused
			c := server.config()
			change(&c)
			err := sendBy(t, newMail(t, c), firing("a"))
			want(t, "who gets it", strings.Join(server.to, " "), wantTo)
			if wantErr == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), wantErr) || strings.Contains(err.Error(), "topsecret") || strings.Contains(err.Error(), "wrong-one") {
				t.Fatalf("the error is %v, want %q in it", err, wantErr)
			}
			r, refused := errors.AsType[*refusal](err)
			want(t, "whether it is final", refused && r.final, final)
		})
	}
	same := func(*EmailConfig) {}
	f("one of two", map[string]int{"a@example.org": 550}, same, "b@example.org", "", false)
	f("all", map[string]int{"a@example.org": 550, "b@example.org": 550}, same, "", "no such person", true)
	f("for now", map[string]int{"a@example.org": 451}, same, "", "no such person", false)
	f("wrong password", nil, func(c *EmailConfig) { c.Password = "wrong-one" }, "", "AUTH", false)
	f("unknown certificate", nil, func(c *EmailConfig) { c.CA = "" }, "", "certificate", false)
}

// TestEmailHello: a server that wants a full name gets one, whatever the machine is
// called: the option, host.name, the machine's own, or its address.
func TestEmailHello(t *testing.T) {
	for _, c := range []struct{ hello, host, want string }{
		{"mail.example.org", "web1.example.org", "mail.example.org"},
		{"[192.0.2.1]", "vm", "[192.0.2.1]"},
		{"", "web1.example.org", "web1.example.org"},
		{"", "vm", ""}, // The machine's name or address.
		{"", "a name <with>\r\nall sorts", ""},
	} {
		server := startMail(t, false)
		server.strict = true
		config := server.config()
		config.Hello = c.hello
		e := newMail(t, config)
		e.site.host = c.host
		if err := sendBy(t, e, firing("a")); err != nil {
			t.Errorf("%q, %q: %v", c.hello, c.host, err)
		}
		if c.want != "" {
			want(t, "the greeting", server.hello, c.want)
		}
	}
	f := func(address net.Addr, text string) {
		t.Helper()
		want(t, "the literal", literal(address), text)
	}
	f(&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9}, "[192.0.2.1]")
	f(&net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 9}, "[IPv6:2001:db8::1]")
	f(&net.UDPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 9}, "[IPv6:fe80::1]")
	for text, valid := range map[string]bool{
		"web1.example.org": true, "[192.0.2.1]": true, "[IPv6:2001:db8::1]": true, "xn--bcher-kva.example": true,
		"vm": false, "": false, "a_b.example.org": false, "a..b": false, "-a.b": false, "[2001:db8::1]": false, "[IPv6:192.0.2.1]": false, "192.0.2.1]": false, "a.b\r\nDATA": false,
	} {
		if isGreeting(text) != valid {
			t.Errorf("%q is a greeting: %v", text, !valid)
		}
	}
}

// TestEmailServerName: the server is reached by another name than its certificate has.
func TestEmailServerName(t *testing.T) {
	server := startMail(t, true)
	c := server.config()
	_, port, err := net.SplitHostPort(c.Server)
	if err != nil {
		t.Fatal(err)
	}
	c.Server, c.TLS = "localhost:"+port, "tls"
	if err := sendBy(t, newMail(t, c), firing("a")); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the name: %v", err)
	}
	c.ServerName = "example.com"
	if err := sendBy(t, newMail(t, c), firing("a")); err != nil {
		t.Error(err)
	}
}

// TestEmailHangs: a server that stops responding does not block.
func TestEmailHangs(t *testing.T) {
	server := startMail(t, false)
	server.hangs = true
	e := newMail(t, server.config())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := e.send(ctx, message{id: "m1", notices: []Notice{firing("a")}}); err == nil {
		t.Error("it was sent")
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("it took %s", d)
	}
}

// TestEmailWithoutTLS: a server without TLS gets no mail, unless tls is none.
func TestEmailWithoutTLS(t *testing.T) {
	f := func(way, answer string) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		said := make(chan string, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			var all bytes.Buffer
			_, _ = io.WriteString(conn, "220 plain\r\n")
			buffer := make([]byte, 1024)
			for {
				n, err := conn.Read(buffer)
				all.Write(buffer[:n])
				if err != nil || bytes.HasPrefix(buffer[:n], []byte("QUIT")) || bytes.HasPrefix(buffer[:n], []byte("MAIL")) {
					break
				}
				_, _ = io.WriteString(conn, "250 fine\r\n")
			}
			said <- all.String()
		}()
		e := newMail(t, EmailConfig{Server: l.Addr().String(), TLS: way, From: "a@example.org", To: []string{"b@example.org"}})
		if err := e.send(t.Context(), message{id: "m1", notices: []Notice{firing("a")}}); err == nil {
			t.Errorf("%s: it was sent", way)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if text := <-said; strings.Contains(text, "MAIL") != (answer == "MAIL") {
			t.Errorf("%s: the server heard %q", way, text)
		}
	}
	f("starttls", "")
	f("none", "MAIL")
}
