package command

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"sysotel/api"
	"sysotel/instruments/sanitize"
)

func userCommand() command {
	return command{
		name: "user", summary: "manage the users who can log in to the running agent",
		details: "A password is asked for, or read from the first line of standard input.",
		subcommands: []subcommand{
			{name: "list", summary: "list the users", run: Call.listUsers},
			{name: "add", args: "NAME", summary: "add a user", flags: []string{"--role"}, run: Call.addUser},
			{name: "role", args: "NAME viewer|admin", summary: "change a user's role", run: Call.setRole},
			{name: "password", args: "NAME", summary: "set a user's password and end their sessions", run: Call.setPassword},
			{name: "remove", args: "NAME", summary: "remove a user and end their sessions", run: Call.removeUser},
		},
		flags:    []commandFlag{{name: "--role", value: "viewer|admin", help: "role of the user to add", preset: "viewer"}},
		options:  agentOptions,
		examples: []string{"sysotel user add ada --role admin", "sysotel user add grace < password.txt", "sysotel user role grace admin"},
	}
}

func (c Call) listUsers() error {
	var users api.Users
	if err := c.manage(http.MethodGet, "/api/v1/users", nil, &users); err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLE\tCREATED\tLAST LOGIN")
	for _, u := range users.Users {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", sanitize.ReplaceUnprintable(u.Name), u.Role, moment(u.Created), moment(u.LastLogin))
	}
	return table.Flush()
}

// moment formats a time for a table, the zero time as -.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04")
}

func (c Call) addUser() error {
	name, role := c.words[0], c.flags["--role"]
	if err := checkRole(role); err != nil { // before the password is typed
		return err
	}
	password, err := c.readPassword(name)
	if err != nil {
		return err
	}
	var user api.User
	if err := c.manage(http.MethodPost, "/api/v1/users", api.UserRequest{Name: name, Password: password, Role: role}, &user); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s can log in as %s.\n", sanitize.ReplaceUnprintable(user.Name), user.Role)
	return nil
}

// checkRole checks the value of --role; it may be missing.
func checkRole(role string) error {
	if role != "" && role != "viewer" && role != "admin" {
		return fmt.Errorf("--role: %q is not allowed: must be viewer or admin", role)
	}
	return nil
}

func (c Call) setRole() error {
	name, role := c.words[0], c.words[1]
	return c.changeUser(name, api.UserChange{Role: role}, "has the role "+role)
}

func (c Call) setPassword() error {
	name := c.words[0]
	if _, err := c.userNamed(name); err != nil {
		return err
	}
	password, err := c.readPassword(name)
	if err != nil {
		return err
	}
	return c.changeUser(name, api.UserChange{Password: password}, "has a new password; their sessions have ended")
}

func (c Call) changeUser(name string, change api.UserChange, done string) error {
	user, err := c.userNamed(name)
	if err != nil {
		return err
	}
	if err := c.manage(http.MethodPatch, "/api/v1/users/"+user.ID, change, nil); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s %s.\n", sanitize.ReplaceUnprintable(user.Name), done)
	return nil
}

func (c Call) removeUser() error {
	user, err := c.userNamed(c.words[0])
	if err != nil {
		return err
	}
	if err := c.manage(http.MethodDelete, "/api/v1/users/"+user.ID, nil, nil); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s is removed.\n", sanitize.ReplaceUnprintable(user.Name))
	return nil
}

// userNamed finds a user by name, ignoring case as a login does.
func (c Call) userNamed(name string) (api.User, error) {
	var users api.Users
	if err := c.manage(http.MethodGet, "/api/v1/users", nil, &users); err != nil {
		return api.User{}, err
	}
	names := []string{}
	for _, u := range users.Users {
		if strings.EqualFold(u.Name, name) {
			return u, nil
		}
		names = append(names, sanitize.ReplaceUnprintable(u.Name))
	}
	if len(names) == 0 {
		return api.User{}, errors.New("there are no users yet; add one with sysotel user add NAME")
	}
	return api.User{}, fmt.Errorf("there is no user %q; the users are %s", name, strings.Join(names, ", "))
}
