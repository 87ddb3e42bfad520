package notify

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/mail"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"sysotel/agent/clienttls"
	"sysotel/agent/secret"
)

// emailHTML is the HTML part of a message, for html/template, which escapes.
//
//go:embed email.html.tmpl
var emailHTML string

// EmailConfig is a mail server and the recipients.
type EmailConfig struct {
	Server     string      `yaml:"server" help:"Mail server, HOST:PORT, such as smtp.example.org:587."`
	Hello      string      `yaml:"hello" help:"Name of this machine in the greeting (EHLO). Default host.name if it contains a dot, else the machine's full name, else its address."`
	TLS        string      `yaml:"tls" enum:"starttls|tls|none" help:"Encryption: starttls, tls from the start (port 465), or none, which allows no password. Default starttls."`
	CA         string      `yaml:"ca" path:"file" help:"File with the CA certificates to trust instead of the system's."`
	ServerName string      `yaml:"server_name" help:"Name in the server's certificate if it is not the host in server."`
	Username   string      `yaml:"username" help:"User name; empty for no authentication."`
	Password   secret.Text `yaml:"password" help:"Password, ${file:PATH} or ${env:NAME}."`
	From       string      `yaml:"from" help:"Sender address."`
	To         []string    `yaml:"to" help:"Recipient addresses."`
}

var _ channelKind = EmailConfig{}

func (c EmailConfig) isSet() bool {
	return c.Server != "" || c.From != "" || len(c.To) > 0 || c.Username != "" || c.Password != ""
}

func (c EmailConfig) validate(_ site, report reportFunc) {
	host, _, err := net.SplitHostPort(c.Server)
	if err != nil || host == "" {
		report("server", c.Server, "must be HOST:PORT, such as smtp.example.org:587")
	}
	if c.Hello != "" && !isGreeting(c.Hello) {
		report("hello", c.Hello, "must be a full name, such as web1.example.org, or an address in brackets, such as [192.0.2.1] or [IPv6:2001:db8::1]")
	}
	if c.ServerName != "" && !isDomain(c.ServerName) {
		report("server_name", c.ServerName, "must be a name, such as smtp.example.org")
	}
	if c.TLS == "none" && c.Password != "" {
		report("tls", c.TLS, "would send the password in clear text; use starttls or tls")
	}
	if c.Username != "" && c.Password == "" {
		report("password", "", "is required with a user name")
	}
	checkLogin(c.Username, c.Password, report)
	checkCA(c.CA, "ca", report)
	if _, err := mail.ParseAddress(c.From); err != nil {
		report("from", c.From, "must be an address, such as sysotel@example.org")
	}
	if len(c.To) == 0 {
		report("to", "", "must name at least one recipient")
	}
	for i, to := range c.To {
		if _, err := mail.ParseAddress(to); err != nil {
			report(fmt.Sprintf("to[%d]", i), to, "must be an address, such as ops@example.org")
		}
	}
}

func (c EmailConfig) newSender(s site) (sender, error) { return newEmail(c, s) }

// email sends e-mail. The Alertmanager project's notifier waits forever for a
// server that does not respond, and one invalid recipient keeps the message from
// all others.
type email struct {
	config EmailConfig
	trust  *clienttls.Files
	site   site
	page   *template.Template
}

func newEmail(c EmailConfig, s site) (*email, error) {
	trust, err := clienttls.Open(c.CA, "", "", nil)
	if err != nil {
		return nil, err
	}
	page, err := template.New("email").Parse(emailHTML)
	return &email{config: c, site: s, trust: trust, page: page}, err
}

func (e *email) send(ctx context.Context, m message) error {
	err := e.sendTo(ctx, m, e.config.To)
	if r, ok := errors.AsType[*refusal](err); !ok || !r.final || len(e.config.To) < 2 {
		return err
	}
	// The server rejects a recipient: send to each of them separately.
	sent := 0
	for _, to := range e.config.To {
		if e.sendTo(ctx, m, []string{to}) == nil {
			sent++
		}
	}
	if sent == 0 {
		return err
	}
	return nil
}

// sendTo sends one mail.
func (e *email) sendTo(ctx context.Context, m message, to []string) error {
	mail, err := e.compose(m, to)
	if err != nil {
		return &refusal{err: fmt.Errorf("compose the mail: %w", err), final: true}
	}
	// The library leaks connections that fail before the mail is sent.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := e.client(ctx)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, mail)
	if err == nil || mail.IsDelivered() {
		return nil // Errors after the server accepted it do not matter.
	}
	if s, ok := errors.AsType[*gomail.SendError](err); ok && s.ErrorCode() >= 500 {
		return &refusal{err: err, final: true}
	}
	return err
}

// client configures a client; it does not connect.
func (e *email) client(ctx context.Context) (*gomail.Client, error) {
	host, port, err := net.SplitHostPort(e.config.Server)
	if err != nil {
		return nil, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, err
	}
	trust := e.trust.Get().Clone()
	trust.ServerName = cmp.Or(e.config.ServerName, host)
	options := []gomail.Option{
		gomail.WithPort(number), gomail.WithTimeout(e.site.timeout), gomail.WithTLSConfig(trust),
		gomail.WithHELO(cmp.Or(e.config.Hello, greeting(ctx, e.site.host, e.config.Server))),
		gomail.WithTLSPolicy(gomail.TLSMandatory),
	}
	switch e.config.TLS {
	case "tls": // With our own dialer the library would not know that the connection is encrypted.
		options = append(options, gomail.WithSSL())
	case "none":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithDialContextFunc(dialUntil(ctx)))
	default:
		options = append(options, gomail.WithDialContextFunc(dialUntil(ctx)))
	}
	if e.config.Username != "" {
		password, err := e.config.Password.Reveal()
		if err != nil {
			return nil, err
		}
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(e.config.Username), gomail.WithPassword(password))
	}
	return gomail.NewClient(host, options...)
}

// dialUntil dials connections that are closed when ctx is done. The library honors
// it only while dialing.
func dialUntil(ctx context.Context) gomail.DialContextFunc {
	return func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(dialing, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
}

// compose creates the mail.
func (e *email) compose(m message, to []string) (*gomail.Msg, error) {
	from, err := mail.ParseAddress(e.config.From)
	if err != nil {
		return nil, err
	}
	letter := gomail.NewMsg()
	letter.FromMailAddress(from)
	if err := letter.To(to...); err != nil {
		return nil, err
	}
	letter.Subject(m.headline())
	letter.SetDate()
	// The same on each attempt, so that a mailbox can detect duplicates.
	letter.SetMessageIDWithValue(m.id + "@" + domain(from.Address))
	if len(m.notices) == 1 && !m.test {
		// Puts an alert and its recovery into one thread.
		thread := "<alert-" + hexText(m.notices[0].Fingerprint) + "-" + strconv.FormatInt(m.notices[0].Since.Unix(), 10) + "@" + domain(from.Address) + ">"
		letter.SetGenHeader(gomail.HeaderReferences, thread)
		letter.SetGenHeader(gomail.HeaderInReplyTo, thread)
	}
	letter.SetGenHeader("Auto-Submitted", "auto-generated")
	letter.SetGenHeader("X-Auto-Response-Suppress", "All")
	letter.SetBodyString(gomail.TypeTextPlain, emailText(m))
	var page bytes.Buffer
	if err := e.page.Execute(&page, newEmailPage(m)); err != nil {
		return nil, err
	}
	letter.AddAlternativeString(gomail.TypeTextHTML, page.String())
	return letter, nil
}

// domain is the part of an address after the @.
func domain(address string) string { return address[strings.LastIndex(address, "@")+1:] }

// hexText makes a text safe for a header.
func hexText(s string) string { return fmt.Sprintf("%x", s) }

// emailText is the plain text part of a message.
func emailText(m message) string {
	var b strings.Builder
	listed, _ := m.listed()
	if m.test {
		return m.headline() + "\n"
	}
	if len(m.notices) > 1 {
		b.WriteString(m.headline() + "\n\n")
	}
	for _, n := range listed {
		b.WriteString(n.headline() + "\n")
		for _, f := range n.facts() {
			fmt.Fprintf(&b, "  %s: %s\n", f.Name, f.Text)
		}
		if n.Link != "" {
			fmt.Fprintf(&b, "  %s\n", n.Link)
		}
		b.WriteString("\n")
	}
	if more := m.more(); more != "" {
		b.WriteString(more + "\n")
	}
	return b.String()
}

// emailPage is the data of emailHTML.
type emailPage struct {
	Headline, More string
	Notices        []emailNotice
}

type emailNotice struct {
	Headline, Color, Link string
	Facts                 []fact
}

func newEmailPage(m message) emailPage {
	page := emailPage{Headline: m.headline(), More: m.more()}
	if m.test {
		return page
	}
	listed, _ := m.listed()
	for _, n := range listed {
		page.Notices = append(page.Notices, emailNotice{n.headline(), n.color(), n.Link, n.facts()})
	}
	return page
}
