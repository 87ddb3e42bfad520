package command

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"sysotel/api"
)

const tokenUsage = "token takes: list | add NAME [--role viewer|admin] [--expires 30d] | revoke NAME"

// runToken lists and changes the running agent's API tokens, through its Unix socket.
func runToken(c Call) int {
	words, options := c.takeWords("--role", "--expires")
	// An option without its value is no option.
	if slices.Contains(slices.Collect(maps.Values(options)), "") {
		words = nil
	}
	var err error
	switch {
	case len(words) == 1 && words[0] == "list" && len(options) == 0:
		err = c.listTokens()
	case len(words) == 2 && words[0] == "add":
		err = c.addToken(words[1], options["--role"], options["--expires"])
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
// be piped to where it is needed.
func (c Call) addToken(name, role, expires string) error {
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
	var made api.NewToken
	request := api.TokenRequest{Name: name, Role: role, ExpiresInSeconds: int64(ttl / time.Second)}
	if err := c.manage(http.MethodPost, "/api/v1/tokens", request, &made); err != nil {
		return err
	}
	until := "until it is revoked"
	if !made.Token.Expires.IsZero() {
		until = "until " + moment(made.Token.Expires)
	}
	fmt.Fprintf(c.Err, "The token %s is good as %s %s. It is shown this once:\n", printable(made.Token.Name), made.Token.Role, until)
	fmt.Fprintln(c.Out, made.Secret)
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
