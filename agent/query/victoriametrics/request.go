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
	// headerTimeout is how long the node may think before it begins to answer.
	headerTimeout = 5 * time.Second
	// mostAnswer is how many bytes of an answer are read, uncompressed: ten times
	// what the samples of one question take in memory, since they are text.
	mostAnswer = 1 << 30
	// idleConnections is how many connections are kept: one for each selector of
	// the questions that are answered at once.
	idleConnections = 16
)

// newClient makes a client for one node.
func newClient(base *url.URL) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: headerTimeout,
			MaxIdleConnsPerHost:   idleConnections,
			IdleConnTimeout:       time.Minute,
			// On this machine compression takes longer than the way.
			DisableCompression: loopback.Host(base.Hostname()),
		},
		// Where else a redirection leads to is not what was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends one request and reads its answer, unless the node has just failed.
// Whatever fails but for the caller's own sake is of type Unavailable, so that
// somebody else can be asked.
func (n *Node) ask(ctx context.Context, path string, form url.Values, read func(io.Reader) error) error {
	if err := n.backoff(); err != nil {
		return n.unavailable(err)
	}
	return n.try(ctx, path, form, read)
}

// try is ask, also where the node has just failed.
func (n *Node) try(ctx context.Context, path string, form url.Values, read func(io.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, n.options.Timeout)
	defer cancel()
	err := n.request(limited, path, form, read)
	var known *query.Error
	switch {
	case err == nil:
		n.setResult(nil)
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		// Who went away, or has no more time, learns nothing of the node.
		return ctx.Err()
	case limited.Err() != nil:
		err = fmt.Errorf("no complete response within %s", n.options.Timeout)
	}
	if asked, ok := errors.AsType[*url.Error](err); ok {
		err = asked.Err // The address stands beside it already.
	}
	n.setResult(err)
	return n.unavailable(err)
}

// unavailable is the error of a node that does not answer.
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
		return refusal(response)
	}
	body := &bounded{r: response.Body, left: mostAnswer}
	if err := read(body); err != nil {
		return err
	}
	// What is left is at most the end of the answer; read, the connection can be
	// used again.
	_, err = io.Copy(io.Discard, body)
	return err
}

// mostWords is how much of a refusal is shown.
const mostWords = 200

// refusal is the error of an answer that is no success, with the beginning of
// what it says.
func refusal(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, mostWords)) // What cannot be read is not shown.
	words := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(bytes.ToValidUTF8(text, []byte("?"))))
	return fmt.Errorf("status %s: %s", response.Status, strings.Join(strings.Fields(words), " "))
}

// bounded reads at most so many bytes.
type bounded struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	k, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= k
	return k, err
}

// errTooMuch is the error of a question whose samples have no room.
var errTooMuch = &query.Error{Type: query.Execution, Err: errors.New("the query needs too many samples; use narrower matchers, a shorter range or a longer step")}

// get asks a question of the API that Prometheus has too.
func get[T any](ctx context.Context, n *Node, path string, form url.Values) (data T, err error) {
	err = n.ask(ctx, path, form, func(r io.Reader) error {
		data, err = readAnswer[T](r)
		return err
	})
	return data, err
}

// readAnswer reads an answer in the form that Prometheus gave its API.
func readAnswer[T any](r io.Reader) (data T, err error) {
	var answer struct {
		Status string `json:"status"`
		Data   T      `json:"data"`
	}
	if err := json.NewDecoder(r).Decode(&answer); err != nil {
		return data, garbled(err)
	}
	if answer.Status != "success" {
		return data, fmt.Errorf("%w: status %q", errGarbage, answer.Status)
	}
	return answer.Data, nil
}
