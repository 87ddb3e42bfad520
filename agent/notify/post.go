package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"sysotel/agent/clienttls"
)

// poster sends HTTP requests.
type poster struct {
	trust      *clienttls.Files
	serverName string

	mu      sync.Mutex
	trusted *tls.Config // What client trusts.
	client  *http.Client
}

// newPoster trusts the certificates in the file ca as it is at the time, or the system's
// if ca is empty. They must be for serverName, or the host of the URL if that is empty.
func newPoster(ca, serverName string) (*poster, error) {
	trust, err := clienttls.Open(ca, "", "", nil)
	return &poster{trust: trust, serverName: serverName, client: &http.Client{}}, err
}

// current returns the client, a new one if the file has changed.
func (p *poster) current() *http.Client {
	trusted := p.trust.Get()
	p.mu.Lock()
	defer p.mu.Unlock()
	if trusted == p.trusted {
		return p.client
	}
	p.client.CloseIdleConnections()
	config := trusted.Clone()
	config.ServerName = p.serverName
	p.trusted, p.client = trusted, &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConns: 2,
			// Without this an HTTP/2 connection that is dead or frozen is used until it breaks.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 10 * time.Second},
		},
		// A redirected POST would become a GET without a body.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p.client
}

// errInvalidURL hides the URL, which may be a credential.
var errInvalidURL = errors.New("the URL is invalid")

// post posts body as JSON. Errors do not contain the URL. prepare sets headers.
func (p *poster) post(ctx context.Context, address string, body any, prepare func(*http.Request)) error {
	text, err := json.Marshal(body)
	if err != nil {
		return &refusal{err: fmt.Errorf("encode the message: %w", err), final: true}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
	if err != nil {
		return errInvalidURL
	}
	r.Header.Set("Content-Type", "application/json")
	prepare(r)
	return p.do(r)
}

// do sends a request. Every response but 2xx is a refusal.
func (p *poster) do(r *http.Request) error {
	r.Header.Set("User-Agent", "sysotel")
	response, err := p.current().Do(r) //nolint:gosec // The URL is configured.
	if err != nil {
		if urlErr, ok := errors.AsType[*url.Error](err); ok {
			err = urlErr.Err // Without the URL.
		}
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if response.StatusCode/100 == 2 {
		return nil
	}
	reason := fmt.Errorf("the response was %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	if s := clean(string(body)); s != "" && len(s) < 200 && !strings.HasPrefix(s, "<") {
		reason = fmt.Errorf("%w: %s", reason, s)
	}
	final := response.StatusCode/100 != 5 && response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusRequestTimeout
	return &refusal{err: reason, after: retryAfter(response.Header.Get("Retry-After"), time.Now()), final: final}
}

// retryAfter parses a Retry-After header: seconds or a date; 0 for none.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return min(time.Duration(seconds), maxPause/time.Second) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
