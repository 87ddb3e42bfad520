package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"sysotel/agent/app"
)

// ask gets a path from the running agent through its Unix socket and decodes
// the answer. The socket is in the data directory, so that no address and no
// password need to be known.
func (c Call) ask(path string, answer any) (status int, err error) {
	loaded, ok := c.load()
	if !ok {
		return 0, errors.New("the configuration tells where the agent is, and it has mistakes")
	}
	socket := filepath.Join(loaded.DataDir, app.SocketName)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(c.Stop, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return 0, err
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
