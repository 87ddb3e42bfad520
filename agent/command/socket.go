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
)

// ask gets a path from the running agent through its Unix socket and decodes
// the answer. The socket is in the data directory, so that no address and no
// password need to be known.
func (c Call) ask(path string, answer any) (status int, err error) {
	return c.send(http.MethodGet, path, nil, 5*time.Second, answer)
}

// send is ask with any method and a body in JSON.
func (c Call) send(method, path string, question io.Reader, limit time.Duration, answer any) (status int, err error) {
	loaded, ok := c.load()
	if !ok {
		return 0, errors.New("the data directory is unknown while the configuration is invalid")
	}
	socket := filepath.Join(loaded.DataDir, app.SocketName)
	client := http.Client{Timeout: limit, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(c.Stop, method, "http://localhost"+path, question)
	if err != nil {
		return 0, err
	}
	if question != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("no agent answers on %s: %w; is it running, with this --data-dir?", socket, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return 0, fmt.Errorf("the agent's answer (%s) makes no sense: %w", response.Status, err)
	}
	return response.StatusCode, nil
}

// manageLimit is how long the command waits for a change of users or tokens: a
// password's hash takes its time.
const manageLimit = 30 * time.Second

// manage is send for what changes or lists users and tokens: a refusal is an
// error with the agent's words. question and answer may be nil.
func (c Call) manage(method, path string, question, answer any) error {
	var body io.Reader
	if question != nil {
		b, err := json.Marshal(question)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	var raw json.RawMessage
	status, err := c.send(method, path, body, manageLimit, &raw)
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
		said := []string{refusal.Detail}
		for _, e := range refusal.Errors {
			said = append(said, strings.TrimPrefix(e.Location, "body.")+": "+e.Message)
		}
		return fmt.Errorf("the agent refuses: %s", printable(strings.Join(said, "; ")))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(raw, answer)
}
