package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// poster posts JSON.
type poster struct{ client *http.Client }

// newPoster trusts the certificates of a file, or the system's.
func newPoster(ca string) (*poster, error) {
	config, err := tlsConfig(ca, "")
	if err != nil {
		return nil, err
	}
	return &poster{&http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConns: 2,
		},
		// A redirected POST becomes a GET, which tells nobody anything.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// post posts a document and understands the answer. No error holds the address.
func (p *poster) post(ctx context.Context, address string, body any, dress func(*http.Request)) error {
	text, err := json.Marshal(body)
	if err != nil {
		return &refusal{err: fmt.Errorf("make the message: %w", err), final: true}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
	if err != nil {
		return errors.New("the address cannot be used")
	}
	r.Header.Set("Content-Type", "application/json")
	dress(r)
	return p.ask(r)
}

// ask sends a request and understands the answer.
func (p *poster) ask(r *http.Request) error {
	r.Header.Set("User-Agent", "sysotel")
	answer, err := p.client.Do(r)
	if err != nil {
		if urlErr, ok := errors.AsType[*url.Error](err); ok {
			err = urlErr.Err // The address may be a secret.
		}
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10)) // What is cut off is not shown.
	if answer.StatusCode/100 == 2 {
		return nil
	}
	reason := fmt.Errorf("the answer was %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	if s := clean(string(said)); s != "" && len(s) < 200 && !strings.HasPrefix(s, "<") {
		reason = fmt.Errorf("%w: %s", reason, s)
	}
	final := answer.StatusCode/100 != 5 && answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusRequestTimeout
	return &refusal{err: reason, after: retryAfter(answer.Header.Get("Retry-After"), time.Now()), final: final}
}

// retryAfter reads seconds or a date; 0 is for none.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return min(time.Duration(seconds), longestPause/time.Second) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
