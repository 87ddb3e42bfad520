package command

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"sysotel/agent/atomicfile"
	"sysotel/api"
	"sysotel/instruments/sanitize"
)

func tokenCommand() command {
	return command{
		name: "token", summary: "manage the API tokens of the running agent",
		details: "add prints the secret alone on standard output, once. With --to it does nothing\nif the file holds a token and one of that name is valid.",
		subcommands: []subcommand{
			{name: "list", summary: "list the tokens", run: Call.listTokens},
			{name: "add", args: "NAME", summary: "create a token", flags: []string{"--role", "--expires", "--to"}, run: Call.addToken},
			{name: "revoke", args: "NAME", summary: "revoke a token", run: Call.revokeToken},
		},
		flags: []commandFlag{
			{name: "--role", value: "viewer|admin", help: "role of the new token", preset: "viewer"},
			{name: "--expires", value: "TIME", help: "lifetime, such as 30d or 12h", preset: "until revoked"},
			{name: "--to", value: "FILE", help: "file for the secret, 0640", preset: "standard output"},
		},
		options:  agentOptions,
		examples: []string{"sysotel token add grafana --expires 30d", "sysotel token add collector --role admin --to /run/sysotel.token", "sysotel token revoke grafana"},
	}
}

func (c Call) listTokens() error {
	var tokens api.Tokens
	if err := c.manage(http.MethodGet, "/api/v1/tokens", nil, &tokens); err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLE\tCREATED\tEXPIRES\tLAST USED")
	for _, t := range tokens.Tokens {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", sanitize.ReplaceUnprintable(t.Name), t.Role, moment(t.Created), moment(t.Expires), moment(t.LastUsed))
	}
	return table.Flush()
}

// addToken prints the secret alone on standard output, so that it can be piped, or
// writes it to the file of --to.
func (c Call) addToken() error {
	name, role, expires, to := c.words[0], c.flags["--role"], c.flags["--expires"], c.flags["--to"]
	if err := checkRole(role); err != nil {
		return err
	}
	var ttl time.Duration
	if expires != "" {
		var err error
		if ttl, err = lifetime(expires); err != nil {
			return err
		}
	}
	if to != "" {
		if kept, err := c.keepToken(name, to); kept || err != nil {
			return err
		}
	}
	var made api.NewToken
	request := api.TokenRequest{Name: name, Role: role, ExpiresInSeconds: int64(ttl / time.Second)}
	if err := c.manage(http.MethodPost, "/api/v1/tokens", request, &made); err != nil {
		return err
	}
	until := "until it is revoked"
	if !made.Token.Expires.IsZero() {
		until = "until " + moment(made.Token.Expires)
	}
	message := fmt.Sprintf("The token %s is valid as %s %s.", sanitize.ReplaceUnprintable(made.Token.Name), made.Token.Role, until)
	if to != "" {
		fmt.Fprintf(c.Err, "%s It is in %s.\n", message, to)
		// The group may read it, so that services of other users can share it.
		if err := atomicfile.Write(to, []byte(made.Secret), 0o640); err != nil {
			return fmt.Errorf("--to: %w", err)
		}
		return nil
	}
	fmt.Fprintf(c.Err, "%s It is shown only once:\n", message)
	fmt.Fprintln(c.Out, made.Secret)
	return nil
}

// keepToken reports whether the file holds a token and one of that name is valid,
// so that a service can run token add at every start. Otherwise it revokes a token
// of that name, whose secret is lost or expired.
func (c Call) keepToken(name, file string) (bool, error) {
	held, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("--to: %w", err)
	}
	var tokens api.Tokens
	if err := c.manage(http.MethodGet, "/api/v1/tokens", nil, &tokens); err != nil {
		return false, err
	}
	for _, t := range tokens.Tokens {
		if !strings.EqualFold(t.Name, name) {
			continue
		}
		if len(held) > 0 && (t.Expires.IsZero() || time.Now().Before(t.Expires)) {
			fmt.Fprintf(c.Err, "The token %s is already in %s.\n", sanitize.ReplaceUnprintable(t.Name), file)
			return true, nil
		}
		return false, c.manage(http.MethodDelete, "/api/v1/tokens/"+t.ID, nil, nil)
	}
	return false, nil
}

// lifetime parses a duration such as 30d or 12h.
func lifetime(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return time.Duration(n) * day, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= time.Second {
		return d, nil
	}
	return 0, fmt.Errorf("--expires: %q is not allowed: must be a time such as 30d or 12h", text)
}

func (c Call) revokeToken() error {
	name := c.words[0]
	var tokens api.Tokens
	if err := c.manage(http.MethodGet, "/api/v1/tokens", nil, &tokens); err != nil {
		return err
	}
	for _, t := range tokens.Tokens {
		if strings.EqualFold(t.Name, name) {
			if err := c.manage(http.MethodDelete, "/api/v1/tokens/"+t.ID, nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(c.Out, "The token %s is revoked.\n", sanitize.ReplaceUnprintable(t.Name))
			return nil
		}
	}
	return fmt.Errorf("there is no token %q; list them with sysotel token list", name)
}
