package victoriametrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"sysotel/agent/loopback"
	"sysotel/agent/query"
)

const (
	dialTimeout = 2 * time.Second
	// headerTimeout is how long the node may take to start a response.
	headerTimeout = 5 * time.Second
	// maxResponse is the maximum size of an uncompressed response: ten times the
	// memory of a query's samples, because they are text.
	maxResponse = 1 << 30
	// idleConnections is the number of connections kept: one for each selector of
	// concurrent queries.
	idleConnections = 16
)

// newClient returns a client for one node.
func newClient(base *url.URL) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: headerTimeout,
			MaxIdleConnsPerHost:   idleConnections,
			IdleConnTimeout:       time.Minute,
			// On loopback compression takes longer than the transfer.
			DisableCompression: loopback.Host(base.Hostname()),
		},
		// A redirect leads to a host that was not configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends one request and reads its response, unless the node has just failed. A
// failure of the node is of type Unavailable, so that the cache can be used. That a
// question is too large or takes too long is none of the node's: it stays available for
// other questions.
func (n *Node) ask(ctx context.Context, path string, form url.Values, read func(io.Reader) error) error {
	if err := n.backoff(); err != nil {
		return n.unavailable(err)
	}
	err := n.attempt(ctx, n.options.Timeout, path, form, read)
	var known *query.Error
	switch {
	case err == nil:
		n.setResult(nil)
		return nil
	case ctx.Err() != nil:
		// A canceled or expired request says nothing about the node.
		return ctx.Err()
	case errors.As(err, &known):
		return err
	case errors.Is(err, errBusy):
		return n.unavailable(err)
	case errors.Is(err, errSlow) && n.responds(ctx) == nil:
		return &query.Error{Type: query.Timeout, Err: fmt.Errorf("%w for tier %s: %w", query.ErrCostly, n.Name(), err)}
	}
	n.setResult(err)
	return n.unavailable(err)
}

// responds returns nil if the node answers a question that costs nothing.
func (n *Node) responds(ctx context.Context) error {
	return n.attempt(ctx, min(n.options.Timeout, headerTimeout), "/api/v1/query", url.Values{"query": {"1"}}, func(r io.Reader) error {
		_, err := readResponse[any](r)
		return err
	})
}

var (
	// errSlow is returned if no response came in time.
	errSlow = errors.New("no complete response within")
	// errBusy is returned if the node has too many requests.
	errBusy = errors.New("it has too many requests")
)

// attempt makes one request, with a time limit.
func (n *Node) attempt(ctx context.Context, limit time.Duration, path string, form url.Values, read func(io.Reader) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := n.request(limited, path, form, read)
	var waited net.Error
	switch {
	case err == nil:
		return nil
	case limited.Err() != nil:
		return fmt.Errorf("%w %s", errSlow, limit)
	case errors.As(err, &waited) && waited.Timeout() && strings.Contains(err.Error(), "awaiting response headers"):
		return fmt.Errorf("%w %s", errSlow, headerTimeout)
	}
	if asked, ok := errors.AsType[*url.Error](err); ok {
		err = asked.Err // The log has the address already.
	}
	return err
}

// unavailable wraps an error of a node that does not respond.
func (n *Node) unavailable(err error) error {
	return &query.Error{Type: query.Unavailable, Err: fmt.Errorf("%w for tier %s: %w", query.ErrDown, n.Name(), err)}
}

// request makes one request.
func (n *Node) request(ctx context.Context, path string, form url.Values, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.base.JoinPath(path).String(), strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := n.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // It was only read.
	if response.StatusCode != http.StatusOK {
		return statusError(response)
	}
	body := &limitedReader{r: response.Body, left: maxResponse}
	if err := read(body); err != nil {
		return err
	}
	// Read to the end, so that the connection can be reused.
	_, err = io.Copy(io.Discard, body)
	return err
}

// maxErrorText is how much of an error response is shown.
const maxErrorText = 200

// statusError returns the error of an unsuccessful response, with the beginning of
// its body.
func statusError(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorText)) // Best effort.
	words := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(bytes.ToValidUTF8(text, []byte("?"))))
	err := fmt.Errorf("status %s: %s", response.Status, strings.Join(strings.Fields(words), " "))
	switch response.StatusCode {
	case http.StatusUnprocessableEntity:
		// It matches too many series, needs too much memory or takes too long.
		return &query.Error{Type: query.Execution, Err: fmt.Errorf("%w: %w", query.ErrCostly, err)}
	case http.StatusTooManyRequests:
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	return err
}

// limitedReader reads up to a limit and then fails.
type limitedReader struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (b *limitedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	k, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= k
	return k, err
}

// errTooMuch is returned for a query that needs too many samples.
var errTooMuch = &query.Error{Type: query.Execution, Err: errors.New("the query needs too many samples; use narrower matchers, a shorter range or a longer step")}

// get requests an endpoint that Prometheus' API has too.
func get[T any](ctx context.Context, n *Node, path string, form url.Values) (data T, err error) {
	err = n.ask(ctx, path, form, func(r io.Reader) error {
		data, err = readResponse[T](r)
		return err
	})
	return data, err
}

// readResponse reads a response in the format of Prometheus' API.
func readResponse[T any](r io.Reader) (data T, err error) {
	var answer struct {
		Status string `json:"status"`
		Data   T      `json:"data"`
	}
	if err := json.NewDecoder(r).Decode(&answer); err != nil {
		return data, invalidResponse(err)
	}
	if answer.Status != "success" {
		return data, fmt.Errorf("%w: status %q", errInvalidResponse, answer.Status)
	}
	return answer.Data, nil
}
