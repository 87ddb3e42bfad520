package auth

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// FuzzVerify: only issued tokens are valid.
func FuzzVerify(f *testing.F) {
	h := newFixture(f)
	secret, _, err := h.NewToken("script", Viewer, 0)
	if err != nil {
		f.Fatal(err)
	}
	for _, bearer := range []string{"", ".", "..", "a.b.c", tokenPrefix, secret, h.admin.Access, h.admin.Refresh, "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiIsImtpZCI6W119.e30.AAAA"} {
		f.Add(bearer)
	}
	f.Fuzz(func(t *testing.T, bearer string) {
		who, err := h.Verify(bearer)
		switch {
		case err == nil && bearer != secret && bearer != h.admin.Access:
			t.Errorf("%q is %+v", bearer, who)
		case err != nil && !errors.Is(err, ErrDenied):
			t.Errorf("%q: %v", bearer, err)
		}
	})
}

// TestConcurrentUse runs everything concurrently, for the race detector.
func TestConcurrentUse(t *testing.T) {
	h := newFixture(t)
	secret, _, err := h.NewToken("script", Viewer, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 5 {
				name := fmt.Sprintf("user-%d-%d", i, n)
				u, err := h.AddUser(t.Context(), name, password, Viewer)
				if err != nil {
					t.Error(err)
					return
				}
				g, err := h.Login(t.Context(), name, password)
				if err != nil {
					t.Error(err)
					return
				}
				if g, err = h.Refresh(t.Context(), g.Refresh); err != nil {
					t.Error(err)
				}
				h.accepted(t, g.Access)
				if _, err := h.SetRole(u.ID, Admin); err != nil {
					t.Error(err)
				}
				_, token, err := h.NewToken(name, Viewer, time.Hour)
				if err != nil {
					t.Error(err)
				}
				if err := h.RevokeToken(token.ID); err != nil {
					t.Error(err)
				}
				if err := h.RemoveUser(u.ID); err != nil {
					t.Error(err)
				}
				h.refused(t, g.Access, ErrDenied)
			}
		})
		all.Go(func() {
			for range 200 {
				h.accepted(t, secret)
				h.accepted(t, h.admin.Access)
				h.Users()
				h.Tokens()
				h.NeedsSetup()
				h.rotate()
				h.pass(time.Millisecond)
			}
		})
	}
	all.Wait()
	if got := len(h.Users()); got != 1 {
		t.Errorf("%d users are left", got)
	}
}

func BenchmarkVerify(b *testing.B) {
	h := newFixture(b)
	secret, _, err := h.NewToken("script", Viewer, 0)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name, bearer string
		before       func()
	}{
		{"access", h.admin.Access, func() {}},
		{"access for the first time", h.admin.Access, func() { clear(h.seen.tokens) }},
		{"token", secret, func() {}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.before()
				if _, err := h.Verify(c.bearer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
