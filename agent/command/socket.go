package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"sysotel/agent/app"
	"sysotel/agent/socket"
	"sysotel/instruments/sanitize"
)

// get requests a path from the running agent through its socket and decodes
// the response. The socket is in the data directory and needs no login.
func (c Call) get(path string, response any) (status int, err error) {
	return c.send(http.MethodGet, path, nil, 5*time.Second, response)
}

// send is get with any method and a JSON body, which may be nil.
func (c Call) send(method, resource string, body io.Reader, timeout time.Duration, into any) (status int, err error) {
	loaded, ok := c.load()
	if !ok {
		return 0, errors.New("the data directory is unknown while the configuration is invalid")
	}
	path := filepath.Join(loaded.DataDir, app.SocketName)
	client := http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return socket.Dial(ctx, path)
		},
	}}
	request, err := http.NewRequestWithContext(c.Stop, method, "http://localhost"+resource, body)
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("no agent answers on %s: %w; is it running, with this --data-dir?", path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return 0, fmt.Errorf("cannot read the agent's response (%s): %w", response.Status, err)
	}
	return response.StatusCode, nil
}

// manageTimeout bounds a change of users or tokens: hashing a password is slow.
const manageTimeout = 30 * time.Second

// manage is send for users and tokens: a refusal is an error with the agent's
// reason. value, the body, and into may be nil.
func (c Call) manage(method, path string, value, into any) error {
	var body io.Reader
	if value != nil {
		b, err := json.Marshal(value)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	var raw json.RawMessage
	status, err := c.send(method, path, body, manageTimeout, &raw)
	if err != nil {
		return err
	}
	if status >= http.StatusBadRequest {
		var refusal struct {
			Detail string
			Errors []struct{ Location, Message string }
		}
		if err := json.Unmarshal(raw, &refusal); err != nil {
			return err
		}
		reasons := []string{refusal.Detail}
		for _, e := range refusal.Errors {
			reasons = append(reasons, strings.TrimPrefix(e.Location, "body.")+": "+e.Message)
		}
		return fmt.Errorf("the agent refuses: %s", sanitize.ReplaceUnprintable(strings.Join(reasons, "; ")))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}
