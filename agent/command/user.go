package command

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"sysotel/api"
)

const userUsage = "user takes: list | add NAME [--role viewer|admin] | role NAME viewer|admin | password NAME | remove NAME"

// runUser lists and changes the running agent's users, through its Unix socket.
func runUser(c Call) int {
	words, options := c.takeWords("--role")
	role, hasRole := options["--role"]
	var err error
	switch {
	case len(words) == 1 && words[0] == "list" && !hasRole:
		err = c.listUsers()
	case len(words) == 2 && words[0] == "add" && (role != "" || !hasRole):
		err = c.addUser(words[1], role)
	case len(words) == 3 && words[0] == "role" && !hasRole:
		err = c.changeUser(words[1], api.UserChange{Role: words[2]}, "has the role "+words[2])
	case len(words) == 2 && words[0] == "password" && !hasRole:
		err = c.setPassword(words[1])
	case len(words) == 2 && words[0] == "remove" && !hasRole:
		err = c.removeUser(words[1])
	default:
		fmt.Fprintf(c.Err, "sysotel: error: %s\n", userUsage)
		return 2
	}
	if err != nil {
		return c.fail(err)
	}
	return 0
}

func (c Call) listUsers() error {
	var users api.Users
	if err := c.manage(http.MethodGet, "/api/v1/users", nil, &users); err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLE\tMADE\tLAST LOG-IN")
	for _, u := range users.Users {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable(u.Name), u.Role, moment(u.Created), moment(u.LastLogin))
	}
	return table.Flush()
}

// moment is a time for a table, - where there was none.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04")
}

func (c Call) addUser(name, role string) error {
	// What is wrong beside the password should be said before it is typed.
	if role != "" && role != "viewer" && role != "admin" {
		return fmt.Errorf("--role: %q is not allowed: must be viewer or admin", role)
	}
	password, err := c.readPassword(name)
	if err != nil {
		return err
	}
	var user api.User
	if err := c.manage(http.MethodPost, "/api/v1/users", api.UserRequest{Name: name, Password: password, Role: role}, &user); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s can log in as %s.\n", printable(user.Name), user.Role)
	return nil
}

func (c Call) setPassword(name string) error {
	if _, err := c.userNamed(name); err != nil {
		return err
	}
	password, err := c.readPassword(name)
	if err != nil {
		return err
	}
	return c.changeUser(name, api.UserChange{Password: password}, "has a new password, and no session any more")
}

func (c Call) changeUser(name string, change api.UserChange, done string) error {
	user, err := c.userNamed(name)
	if err != nil {
		return err
	}
	if err := c.manage(http.MethodPatch, "/api/v1/users/"+user.ID, change, nil); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s %s.\n", printable(user.Name), done)
	return nil
}

func (c Call) removeUser(name string) error {
	user, err := c.userNamed(name)
	if err != nil {
		return err
	}
	if err := c.manage(http.MethodDelete, "/api/v1/users/"+user.ID, nil, nil); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "%s is removed.\n", printable(user.Name))
	return nil
}

// userNamed finds a user by name, as a log-in would.
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
		names = append(names, printable(u.Name))
	}
	if len(names) == 0 {
		return api.User{}, errors.New("there are no users yet; sysotel user add NAME makes one")
	}
	return api.User{}, fmt.Errorf("there is no user %q; the users are %s", name, strings.Join(names, ", "))
}
