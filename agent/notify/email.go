package notify

import (
	"bytes"
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
)

// emailHTML is the page of a message. html/template escapes what it is given.
//
//go:embed email.html.tmpl
var emailHTML string

// email sends mail. The Alertmanager project's notifier waits for ever on a server
// that does not answer, and a single wrong recipient keeps it from all others.
type email struct {
	config EmailConfig
	host   string
	page   *template.Template
}

func newEmail(c EmailConfig, host string) (*email, error) {
	page, err := template.New("email").Parse(emailHTML)
	return &email{config: c, host: host, page: page}, err
}

func (e *email) send(ctx context.Context, m message) error {
	err := e.sendTo(ctx, m, e.config.To)
	if r, ok := errors.AsType[*refusal](err); !ok || !r.final || len(e.config.To) < 2 {
		return err
	}
	// Somebody's address is not taken: the others get theirs.
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

// sendTo sends one mail to some recipients.
func (e *email) sendTo(ctx context.Context, m message, to []string) error {
	mail, err := e.compose(m, to)
	if err != nil {
		return &refusal{err: fmt.Errorf("make the mail: %w", err), final: true}
	}
	client, err := e.client(ctx)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, mail)
	if err == nil || mail.IsDelivered() {
		return nil // What went wrong after the server took it is of no matter.
	}
	if s, ok := errors.AsType[*gomail.SendError](err); ok && s.ErrorCode() >= 500 {
		return &refusal{err: err, final: true}
	}
	return err
}

// client makes a connection to come.
func (e *email) client(ctx context.Context) (*gomail.Client, error) {
	host, port, err := net.SplitHostPort(e.config.Server)
	if err != nil {
		return nil, err
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return nil, err
	}
	tls, err := tlsConfig(e.config.CA, host)
	if err != nil {
		return nil, err
	}
	options := []gomail.Option{
		gomail.WithPort(number), gomail.WithTimeout(sendTimeout), gomail.WithTLSConfig(tls),
		gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithDialContextFunc(dialUntil(ctx)),
	}
	switch e.config.TLS {
	case "none":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case "tls":
		options = append(options, gomail.WithSSL())
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

// dialUntil makes connections that break when ctx is done. The library watches it
// while it dials only.
func dialUntil(ctx context.Context) gomail.DialContextFunc {
	return func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(dialing, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
}

// compose writes the mail.
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
	// The same for each try, so that a mailbox can know one it has seen.
	letter.SetMessageIDWithValue(m.id + "@" + domain(from.Address))
	if len(m.notices) == 1 && !m.test {
		// The alert and its recovery stand together.
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

// domain is what stands after the @ of an address.
func domain(address string) string { return address[strings.LastIndex(address, "@")+1:] }

// hexText makes a text fit for a header.
func hexText(s string) string { return fmt.Sprintf("%x", s) }

// emailText is a message as plain text.
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

// emailPage is what the page shows.
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
