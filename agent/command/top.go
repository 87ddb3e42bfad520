package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"sysotel/agent/app"
	"sysotel/agent/clienttls"
	"sysotel/agent/socket"
	"sysotel/agent/top"
)

// topRows is how many processes --once and --json print by default, mostTopRows the
// maximum of the API.
const (
	topRows     = 30
	mostTopRows = 1000
)

func topCommand() command {
	return command{
		name: "top", summary: "show the machine and its processes, now or in the past",
		details: "It shows what a running agent measures and keeps. Left and Right step through\nthe seconds of the past, / jumps to the next event, \\ filters, ? lists all keys.\nWithout a terminal it prints once.",
		flags: []commandFlag{
			{name: "--at", value: "TIME", help: "begin in the past: 03:00, \"2026-11-29 03:00\" or -15m"},
			{name: "--sort", value: strings.Join(top.Orders(), "|"), help: "order", preset: "cpu"},
			{name: "--once", help: "print once as text, names in full"},
			{name: "--json", help: "print once as JSON; what is not known is null"},
			{name: "--rows", value: "N", help: "processes to print at once", preset: strconv.Itoa(topRows)},
			{name: "--url", value: "URL", help: "another machine's agent: https://server-01:8080"},
			{name: "--token-file", value: "FILE", help: "API token for --url; see sysotel help token"},
			{name: "--ca", value: "FILE", help: "certificate authority, in PEM", preset: "system's"},
		},
		options: agentOptions, run: runTop,
		examples: []string{
			"sysotel top", "sysotel top --at 03:00", "sysotel top --once --sort memory", "sysotel top --json --at -1h --rows 5",
			"sysotel top --url https://server-01:8080 --token-file ~/.sysotel-token",
		},
	}
}

// runTop shows the machine: once without a terminal, with --once or --json, else
// until a key, a signal, or the end of the terminal.
func runTop(c Call) int {
	o, err := c.topOptions()
	if err != nil {
		return c.misuse(err, "sysotel help top shows its usage")
	}
	if o.Agent, err = c.topAgent(); err != nil {
		return c.fail(err)
	}
	_, asJSON := c.flags["--json"]
	_, once := c.flags["--once"]
	out, toTerminal := terminalOf(c.Out)
	switch _, fromTerminal := terminalOf(c.In); {
	case asJSON:
		err = top.JSON(c.Stop, c.Out, o)
	case once || !toTerminal || !fromTerminal || slices.Contains(c.Env, "TERM=dumb"):
		err = top.Once(c.Stop, c.Out, o)
	default:
		err = top.Run(c.Stop, c.Reload, c.In, out, o)
	}
	if err != nil {
		return c.fail(err)
	}
	return 0
}

// topOptions reads the command's flags.
func (c Call) topOptions() (top.Options, error) {
	o := top.Options{Sort: "cpu", Rows: topRows, Zone: time.Local, Env: c.Env, Unicode: top.Unicode(c.Env)}
	if by, ok := c.flags["--sort"]; ok {
		if !slices.Contains(top.Orders(), by) {
			return o, fmt.Errorf("--sort takes %s, not %q", strings.Join(top.Orders(), ", "), by)
		}
		o.Sort = by
	}
	if text, ok := c.flags["--rows"]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostTopRows {
			return o, fmt.Errorf("--rows takes a number from 1 to %d, not %q", mostTopRows, text)
		}
		o.Rows = n
	}
	if text, ok := c.flags["--at"]; ok {
		at, err := top.ParseMoment(text, time.Now())
		if err != nil {
			return o, fmt.Errorf("--at: %w", err)
		}
		o.At = at
	}
	return o, nil
}

// topAgent is the agent of --url, or that of this machine by its socket.
func (c Call) topAgent() (*top.Agent, error) {
	text, remote := c.flags["--url"]
	if !remote {
		for _, name := range []string{"--token-file", "--ca"} {
			if _, ok := c.flags[name]; ok {
				return nil, fmt.Errorf("%s is for another machine: give its --url", name)
			}
		}
		loaded, ok := c.load()
		if !ok {
			return nil, errors.New("the data directory is unknown while the configuration is invalid")
		}
		path := filepath.Join(loaded.DataDir, app.SocketName)
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, path) }}
		return &top.Agent{Client: &http.Client{Transport: transport}, URL: "http://localhost", Name: path + " (is it running, with this --data-dir?)"}, nil
	}
	target, err := url.Parse(text)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" || target.User != nil || target.RawQuery != "" || target.Fragment != "" {
		return nil, fmt.Errorf("--url: %q is not allowed: must be such as https://server-01:8080", text)
	}
	agent := &top.Agent{URL: strings.TrimRight(target.String(), "/"), Name: target.Host}
	if file, ok := c.flags["--token-file"]; ok {
		if agent.Token, err = readToken(file); err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		if ip := net.ParseIP(target.Hostname()); target.Scheme == "http" && target.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, errors.New("--token-file: the token would be readable on its way to another machine; use https")
		}
	}
	config, err := clienttls.Config(c.flags["--ca"], "")
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true}
	agent.Client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return agent, nil
}

// readToken reads the token that sysotel token add --to wrote.
func readToken(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := string(bytes.TrimSpace(text))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the file must hold one token and nothing else")
	}
	return token, nil
}

// terminalOf is a writer or reader as a terminal, if it is one.
func terminalOf(f any) (*os.File, bool) {
	file, ok := f.(*os.File)
	return file, ok && file != nil && term.IsTerminal(int(file.Fd()))
}
