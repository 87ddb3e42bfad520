package command

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"sysotel/api"
)

const tokenUsage = "token takes: list | add NAME [--role viewer|admin] [--expires 30d] [--to FILE] | revoke NAME"

// runToken lists and changes the running agent's API tokens, through its Unix socket.
func runToken(c Call) int {
	words, options := c.takeWords("--role", "--expires", "--to")
	// An option without its value is no option.
	if slices.Contains(slices.Collect(maps.Values(options)), "") {
		words = nil
	}
	var err error
	switch {
	case len(words) == 1 && words[0] == "list" && len(options) == 0:
		err = c.listTokens()
	case len(words) == 2 && words[0] == "add":
		err = c.addToken(words[1], options["--role"], options["--expires"], options["--to"])
	case len(words) == 2 && words[0] == "revoke" && len(options) == 0:
		err = c.revokeToken(words[1])
	default:
		fmt.Fprintf(c.Err, "sysotel: error: %s\n", tokenUsage)
		return 2
	}
	if err != nil {
		return c.fail(err)
	}
	return 0
}

func (c Call) listTokens() error {
	var tokens api.Tokens
	if err := c.manage(http.MethodGet, "/api/v1/tokens", nil, &tokens); err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLE\tMADE\tEXPIRES\tLAST USED")
	for _, t := range tokens.Tokens {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", printable(t.Name), t.Role, moment(t.Created), moment(t.Expires), moment(t.LastUsed))
	}
	return table.Flush()
}

// addToken prints the secret and nothing else on standard output, so that it can
// be piped to where it is needed; or writes it into the file to.
func (c Call) addToken(name, role, expires, to string) error {
	if role != "" && role != "viewer" && role != "admin" {
		return fmt.Errorf("--role: %q is not allowed: must be viewer or admin", role)
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
	said := fmt.Sprintf("The token %s is good as %s %s.", printable(made.Token.Name), made.Token.Role, until)
	if to != "" {
		fmt.Fprintf(c.Err, "%s It is in %s.\n", said, to)
		return writeToken(to, made.Secret)
	}
	fmt.Fprintf(c.Err, "%s It is shown this once:\n", said)
	fmt.Fprintln(c.Out, made.Secret)
	return nil
}

// keepToken tells whether there is nothing to do: the file holds a token, and one
// of that name is good. A service can so ask for its token at every start. Where
// one of the two is missing the other is of no use, so that it makes room.
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
			fmt.Fprintf(c.Err, "The token %s is in %s already.\n", printable(t.Name), file)
			return true, nil
		}
		return false, c.manage(http.MethodDelete, "/api/v1/tokens/"+t.ID, nil, nil)
	}
	return false, nil
}

// writeToken puts the secret into a file whole. The group may read it, so that
// services that run as other users can share it; nobody else may.
func writeToken(file, secret string) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".token-*")
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // It is gone where all went well.
	_, err = f.WriteString(secret)
	if err == nil && runtime.GOOS != "windows" {
		err = f.Chmod(0o640)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	return nil
}

// lifetime reads a duration with days, which are what tokens live.
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

func (c Call) revokeToken(name string) error {
	var tokens api.Tokens
	if err := c.manage(http.MethodGet, "/api/v1/tokens", nil, &tokens); err != nil {
		return err
	}
	for _, t := range tokens.Tokens {
		if strings.EqualFold(t.Name, name) {
			if err := c.manage(http.MethodDelete, "/api/v1/tokens/"+t.ID, nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(c.Out, "The token %s is revoked.\n", printable(t.Name))
			return nil
		}
	}
	return fmt.Errorf("there is no token %q; sysotel token list shows them", name)
}
