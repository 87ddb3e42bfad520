package auth

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestSetup(t *testing.T) {
	c := newHandClock()
	a := open(t, t.TempDir(), c)
	if !a.NeedsSetup() {
		t.Fatal("there is no administrator yet")
	}
	_, err := a.Setup(t.Context(), "", "root", password)
	wants(t, err, ErrDenied)
	first, _, err := a.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	code, until, err := a.NewSetupCode()
	if err != nil || until != a.now().Add(15*time.Minute) {
		t.Fatal(until, err)
	}
	for _, wrong := range []string{"", "x", first} {
		_, err = a.Setup(t.Context(), wrong, "root", password)
		wants(t, err, ErrDenied)
	}
	_, err = a.Setup(t.Context(), code, "root", "short")
	wants(t, err, ErrInvalid)
	c.pass(15*time.Minute - time.Second)
	g, err := a.Setup(t.Context(), code, "root", password)
	if err != nil || g.Identity.Role != Admin || a.NeedsSetup() {
		t.Fatal(g.Identity, err)
	}
	if _, err := a.Verify(g.Access); err != nil {
		t.Error(err)
	}
	_, err = a.Setup(t.Context(), code, "second", password)
	wants(t, err, ErrSetupDone)
	_, _, err = a.NewSetupCode()
	wants(t, err, ErrSetupDone)
}

func TestSetupLate(t *testing.T) {
	c := newHandClock()
	a := open(t, t.TempDir(), c)
	code, _, err := a.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	c.pass(15 * time.Minute)
	_, err = a.Setup(t.Context(), code, "root", password)
	wants(t, err, ErrExpired)
	if len(a.Users()) != 0 {
		t.Error("a late setup succeeded")
	}
}

// TestSetupBesideViewers: a viewer does not count as an administrator.
func TestSetupBesideViewers(t *testing.T) {
	a := open(t, t.TempDir(), newHandClock())
	if _, err := a.AddUser(t.Context(), "anna", password, Viewer); err != nil {
		t.Fatal(err)
	}
	code, _, err := a.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Setup(t.Context(), code, "anna", password)
	wants(t, err, ErrExists)
	if _, err := a.AddUser(t.Context(), "root", password, Admin); err != nil {
		t.Fatal(err)
	}
	_, err = a.Setup(t.Context(), code, "second", password)
	wants(t, err, ErrSetupDone)
}

func TestSetupAtOnce(t *testing.T) {
	a := open(t, t.TempDir(), newHandClock())
	code, _, err := a.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	var (
		all  sync.WaitGroup
		errs = make([]error, 8)
	)
	for i := range errs {
		all.Go(func() { _, errs[i] = a.Setup(t.Context(), code, fmt.Sprintf("root%d", i), password) })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, ErrSetupDone) && !errors.Is(err, ErrDenied):
			t.Error(err)
		}
	}
	if won != 1 || len(a.Users()) != 1 {
		t.Errorf("%d won, %d users", won, len(a.Users()))
	}
}
