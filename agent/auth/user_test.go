package auth

import (
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	f := func(name string, good bool) {
		t.Helper()
		if err := checkName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		} else if err != nil {
			wants(t, err, ErrInvalid)
		}
	}
	f("a", true)
	f("Anna.B_c-d@example.org", true)
	f(strings.Repeat("a", 64), true)
	f(strings.Repeat("a", 65), false)
	f("", false)
	f("a b", false)
	f("а", false) // Cyrillic
	f("<img>", false)
	f("a\n", false)
	f("a\x1b[1m", false)
	f("\xff", false)
}

func TestPasswords(t *testing.T) {
	f := func(password string, good bool) {
		t.Helper()
		if err := checkPassword("long-user-name", password); (err == nil) != good {
			t.Errorf("%q: %v", password, err)
		} else if err != nil {
			wants(t, err, ErrInvalid)
			if password != "" && strings.Contains(err.Error(), password) {
				t.Errorf("the error shows the password: %v", err)
			}
		}
	}
	f("correct battery", true)
	f(strings.Repeat("ä", 6), true)
	f("elevenbytes", false)
	f("", false)
	f(strings.Repeat("ab", 512), true)
	f(strings.Repeat("ab", 512)+"c", false)
	f("twelve bytes\xff", false)
	f("LONG-user-NAME", false)
	f("PasswordPassword", false)
	f("correct horse battery staple", false)
	for line := range strings.Lines(usual) {
		if word := strings.TrimSuffix(line, "\n"); len(word) < minPassword || word != strings.ToLower(word) {
			t.Errorf("%q is not looked at", word)
		}
	}
}

func TestUsers(t *testing.T) {
	h := newFixture(t)
	anna := h.add(t, "Anna", Viewer)
	if anna.Role != Viewer || anna.Created != h.now() || anna.PasswordChanged != h.now() || !anna.LastLogin.IsZero() {
		t.Errorf("%+v", anna)
	}
	if got, ok := h.UserNamed("aNNa"); !ok || got != anna {
		t.Errorf("found %+v", got)
	}
	_, err := h.AddUser(t.Context(), "ANNA", password, Admin)
	wants(t, err, ErrExists)
	_, err = h.AddUser(t.Context(), "berta", "short", Admin)
	wants(t, err, ErrInvalid)
	_, err = h.AddUser(t.Context(), "ber ta", password, Admin)
	wants(t, err, ErrInvalid)
	for _, role := range []Role{Public, -1, 3} {
		_, err = h.AddUser(t.Context(), "berta", password, role)
		wants(t, err, ErrInvalid)
		_, err = h.SetRole(anna.ID, role)
		wants(t, err, ErrInvalid)
	}
	h.pass(time.Hour)
	h.login(t, "ANNA", password)
	users := h.Users()
	if len(users) != 2 || users[0].Name != "Anna" || users[1].Name != "root" || users[0].LastLogin != h.now() {
		t.Errorf("%+v", users)
	}
	_, err = h.SetRole("nobody", Admin)
	wants(t, err, ErrNotFound)
	wants(t, h.RemoveUser("nobody"), ErrNotFound)
	wants(t, h.SetPassword(t.Context(), "nobody", password), ErrNotFound)
	wants(t, h.ChangePassword(t.Context(), "nobody", password, other), ErrNotFound)
}

func TestRoleChangeActsAtOnce(t *testing.T) {
	h := newFixture(t)
	anna := h.add(t, "anna", Viewer)
	g := h.login(t, "anna", password)
	if got := h.accepted(t, g.Access).Role; got != Viewer {
		t.Error(got)
	}
	if u, err := h.SetRole(anna.ID, Admin); err != nil || u.Role != Admin {
		t.Error(u, err)
	}
	if got := h.accepted(t, g.Access).Role; got != Admin {
		t.Error(got)
	}
}

func TestRemovalActsAtOnce(t *testing.T) {
	h := newFixture(t)
	anna := h.add(t, "anna", Viewer)
	g := h.login(t, "anna", password)
	if err := h.RemoveUser(anna.ID); err != nil {
		t.Fatal(err)
	}
	h.refused(t, g.Access, ErrDenied)
	_, err := h.Refresh(t.Context(), g.Refresh)
	wants(t, err, ErrDenied)
	h.accepted(t, h.admin.Access)
	h.add(t, "anna", Viewer)
	h.refused(t, g.Access, ErrDenied)
}

func TestLastAdmin(t *testing.T) {
	h := newFixture(t)
	root := h.admin.Identity.ID
	wants(t, h.RemoveUser(root), ErrLastAdmin)
	_, err := h.SetRole(root, Viewer)
	wants(t, err, ErrLastAdmin)
	if _, err := h.SetRole(root, Admin); err != nil {
		t.Error(err)
	}
	anna := h.add(t, "anna", Admin)
	if _, err := h.SetRole(root, Viewer); err != nil {
		t.Error(err)
	}
	wants(t, h.RemoveUser(anna.ID), ErrLastAdmin)
	if err := h.RemoveUser(root); err != nil {
		t.Error(err)
	}
}

func TestPasswordChangeEndsOtherSessions(t *testing.T) {
	h := newFixture(t)
	mine, elsewhere := h.admin, h.login(t, "root", password)
	id := mine.Identity.ID
	wants(t, h.ChangePassword(t.Context(), id, other, other), ErrDenied)
	wants(t, h.ChangePassword(t.Context(), id, password, "short"), ErrInvalid)
	h.accepted(t, elsewhere.Access)
	if err := h.ChangePassword(t.Context(), id, password, other, mine.Identity.Session); err != nil {
		t.Fatal(err)
	}
	h.accepted(t, mine.Access)
	h.refused(t, elsewhere.Access, ErrDenied)
	_, err := h.Login(t.Context(), "root", password)
	wants(t, err, ErrDenied)
	h.login(t, "root", other)
	if err := h.SetPassword(t.Context(), id, password); err != nil {
		t.Fatal(err)
	}
	h.refused(t, mine.Access, ErrDenied)
	h.login(t, "root", password)
}

func TestTooManyUsers(t *testing.T) {
	h := newFixture(t)
	c := h.current.Load().copy()
	for i := len(c.Users); i < maxUsers; i++ {
		c.Users = append(c.Users, userRow{Name: "u"})
	}
	wants(t, c.addUser(userRow{Name: "one more"}), ErrInvalid)
}

func TestRoles(t *testing.T) {
	for _, r := range []Role{Public, Viewer, Admin} {
		text, err := r.MarshalText()
		var back Role
		if err != nil || back.UnmarshalText(text) != nil || back != r || string(text) != r.String() {
			t.Errorf("%v: %s, %v", r, text, err)
		}
	}
	if _, err := Role(7).MarshalText(); err == nil {
		t.Error("no role 7 is there")
	}
	for _, name := range []string{"", "public", "Admin", "root"} {
		_, err := ParseRole(name)
		wants(t, err, ErrInvalid)
	}
}
