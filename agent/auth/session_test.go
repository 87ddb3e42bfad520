package auth

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRefresh(t *testing.T) {
	h := newFixture(t)
	h.pass(20 * time.Minute)
	h.refused(t, h.admin.Access, ErrExpired)
	g, err := h.Refresh(t.Context(), h.admin.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if g.Identity != h.admin.Identity || g.Refresh == h.admin.Refresh || g.RefreshUntil != h.admin.RefreshUntil || g.AccessUntil != h.now().Add(15*time.Minute) {
		t.Errorf("%+v", g.Identity)
	}
	h.accepted(t, g.Access)
}

func TestSessionEndsHoweverOftenItIsRefreshed(t *testing.T) {
	h := newFixture(t)
	g := h.admin
	var err error
	for range 29 {
		h.pass(day)
		if g, err = h.Refresh(t.Context(), g.Refresh); err != nil {
			t.Fatal(err)
		}
	}
	h.pass(day - time.Minute)
	if g, err = h.Refresh(t.Context(), g.Refresh); err != nil {
		t.Fatal(err)
	}
	if g.AccessUntil != g.RefreshUntil {
		t.Errorf("the access token lives until %v, its session until %v", g.AccessUntil, g.RefreshUntil)
	}
	h.pass(time.Minute)
	h.refused(t, g.Access, ErrExpired)
	_, err = h.Refresh(t.Context(), g.Refresh)
	wants(t, err, ErrExpired)
	h.tidy()
	_, err = h.Refresh(t.Context(), g.Refresh)
	wants(t, err, ErrDenied)
	if n := len(h.current.Load().Sessions); n != 0 {
		t.Errorf("%d sessions are kept", n)
	}
}

// TestReuseEndsTheSession: also of a token from long ago, and after a restart.
func TestReuseEndsTheSession(t *testing.T) {
	for _, back := range []int{1, 2, 50} {
		h := newFixture(t)
		elsewhere := h.login(t, "root", password)
		given := []Grant{h.admin}
		for range 50 {
			g, err := h.Refresh(t.Context(), given[len(given)-1].Refresh)
			if err != nil {
				t.Fatal(err)
			}
			given = append(given, g)
		}
		h.pass(overlap)
		h = h.reopened(t)
		last := given[len(given)-1]
		_, err := h.Refresh(t.Context(), given[len(given)-1-back].Refresh)
		wants(t, err, ErrReused)
		h.refused(t, last.Access, ErrDenied)
		_, err = h.Refresh(t.Context(), last.Refresh)
		wants(t, err, ErrDenied)
		h.accepted(t, elsewhere.Access)
	}
}

// TestRefreshAtOnce: of many concurrent uses of a token, as of a browser's tabs, one
// succeeds, the others get no secret, and the session lives.
func TestRefreshAtOnce(t *testing.T) {
	h := newFixture(t)
	var (
		all  sync.WaitGroup
		errs = make([]error, 8)
	)
	for i := range errs {
		all.Go(func() { _, errs[i] = h.Refresh(t.Context(), h.admin.Refresh) })
	}
	all.Wait()
	good := 0
	for _, err := range errs {
		if err == nil {
			good++
			continue
		}
		wants(t, err, ErrRefreshed)
	}
	if good != 1 {
		t.Errorf("%d got through", good)
	}
	h.accepted(t, h.admin.Access)
}

// TestOverlap: only the token before the newest, only for a moment, which does not
// begin again with each use, and only in memory.
func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		name string
		wait time.Duration
		back int
		again,
		restart bool
		want error
	}{
		{"at once", 0, 1, false, false, ErrRefreshed},
		{"within the moment", overlap - time.Second, 1, false, false, ErrRefreshed},
		{"again within the moment", overlap - time.Second, 1, true, false, ErrReused},
		{"after it", overlap, 1, false, false, ErrReused},
		{"an older one", 0, 2, false, false, ErrReused},
		{"after a restart", 0, 1, false, true, ErrReused},
		{"with a clock set back", -time.Hour, 1, false, false, ErrReused},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			given := []Grant{h.admin}
			for range 2 {
				g, err := h.Refresh(t.Context(), given[len(given)-1].Refresh)
				if err != nil {
					t.Fatal(err)
				}
				given = append(given, g)
			}
			if c.restart {
				h = h.reopened(t)
			}
			h.pass(c.wait)
			old := given[len(given)-1-c.back].Refresh
			if c.again {
				_, err := h.Refresh(t.Context(), old)
				wants(t, err, ErrRefreshed)
				h.pass(time.Second)
			}
			g, err := h.Refresh(t.Context(), old)
			wants(t, err, c.want)
			if g != (Grant{}) {
				t.Error("secrets came with the error")
			}
			_, err = h.Refresh(t.Context(), given[len(given)-1].Refresh)
			if lives := err == nil; lives != (c.want == ErrRefreshed) { //nolint:errorlint // A value of the table.
				t.Errorf("the session lives: %v", err)
			}
		})
	}
}

// TestAThiefIsNoticed: who was first with a stolen token is thrown out as soon as the
// owner comes after the moment, or logs in anew.
func TestAThiefIsNoticed(t *testing.T) {
	h := newFixture(t)
	stolen, err := h.Refresh(t.Context(), h.admin.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Refresh(t.Context(), h.admin.Refresh)
	wants(t, err, ErrRefreshed)
	h.accepted(t, stolen.Access)
	h.pass(overlap)
	_, err = h.Refresh(t.Context(), h.admin.Refresh)
	wants(t, err, ErrReused)
	h.refused(t, stolen.Access, ErrDenied)

	again := h.login(t, "root", password)
	if stolen, err = h.Refresh(t.Context(), again.Refresh); err != nil {
		t.Fatal(err)
	}
	if err := h.Abandon(again.Refresh); err != nil {
		t.Fatal(err)
	}
	h.refused(t, stolen.Access, ErrDenied)
	for _, refresh := range []string{"", "x", again.Refresh, strings.Repeat("A", 64)} {
		wants(t, h.Abandon(refresh), nil)
	}
}

func TestForgedRefresh(t *testing.T) {
	h := newFixture(t)
	flipped := "A" + h.admin.Refresh[1:]
	if flipped == h.admin.Refresh {
		flipped = "B" + h.admin.Refresh[1:]
	}
	for _, refresh := range []string{"", "x", h.admin.Access, h.admin.Identity.Session, strings.Repeat("A", 64), strings.Repeat("\n", 64), flipped} {
		_, err := h.Refresh(t.Context(), refresh)
		wants(t, err, ErrDenied)
	}
	h.accepted(t, h.admin.Access)
}

func TestLogout(t *testing.T) {
	h := newFixture(t)
	elsewhere := h.login(t, "root", password)
	if err := h.Logout(h.admin.Identity.Session); err != nil {
		t.Fatal(err)
	}
	h.refused(t, h.admin.Access, ErrDenied)
	_, err := h.Refresh(t.Context(), h.admin.Refresh)
	wants(t, err, ErrDenied)
	wants(t, h.Logout(h.admin.Identity.Session), ErrNotFound)
	h.accepted(t, elsewhere.Access)
	h = h.reopened(t)
	h.refused(t, h.admin.Access, ErrDenied)
	h.accepted(t, elsewhere.Access)
}

func TestOldestSessionMakesRoom(t *testing.T) {
	h := newFixture(t)
	h.add(t, "anna", Viewer)
	first, second := h.login(t, "anna", password), h.login(t, "anna", password)
	for range maxSessionsOfAUser - 1 {
		h.login(t, "anna", password)
	}
	h.refused(t, first.Access, ErrDenied)
	h.accepted(t, second.Access)
	h.accepted(t, h.admin.Access)

	c := h.current.Load().copy()
	for len(c.Sessions) < maxSessions {
		c.Sessions = append(c.Sessions, sessionRow{User: "another"})
	}
	h.begin(c, &userRow{ID: "new"})
	if len(c.Sessions) != maxSessions || c.session(h.admin.Identity.Session) != nil {
		t.Errorf("%d sessions", len(c.Sessions))
	}
}

// TestUnknownUserCostsAsMuch counts hashes: response times reveal nothing.
func TestUnknownUserCostsAsMuch(t *testing.T) {
	h := newFixture(t)
	h.add(t, "anna", Viewer)
	work := func(name, password string) (n int64, text string) {
		before := h.hasher.done.Load()
		_, err := h.Login(t.Context(), name, password)
		wants(t, err, ErrDenied)
		return h.hasher.done.Load() - before, err.Error()
	}
	wrong, said := work("anna", other)
	if wrong != 1 {
		t.Errorf("%d hashes for a wrong password", wrong)
	}
	for _, c := range [][2]string{{"nobody", other}, {"", ""}, {"a\x00b", other}, {"anna", ""}, {"anna", strings.Repeat("x", 5000)}, {"nobody", strings.Repeat("x", 5000)}} {
		if n, text := work(c[0], c[1]); n != wrong || text != said {
			t.Errorf("%q: %d hashes and %q", c[0], n, text)
		}
	}
	known, _ := h.UserNamed("anna")
	if h.hasher.dummy().cost != h.current.Load().users[known.ID].Password.cost {
		t.Error("the dummy hash has another cost")
	}
}

func TestBusy(t *testing.T) {
	h := newFixture(t)
	for range maxHashes {
		h.hasher.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	go func() {
		_, err := h.Login(ctx, "root", password)
		waiting <- err
	}()
	cancel()
	wants(t, <-waiting, ErrBusy)
	for range maxHashes {
		<-h.hasher.slots
	}
	h.login(t, "root", password)
}

func TestLoginRenewsTheHash(t *testing.T) {
	h := newFixture(t)
	id := h.admin.Identity.ID
	h.hasher.cost.time = 2
	if h.current.Load().users[id].Password.cost == h.hasher.cost {
		t.Fatal("the costs are equal already")
	}
	h.login(t, "root", password)
	h = h.reopened(t)
	if got := h.current.Load().users[id].Password.time; got != 2 {
		t.Errorf("time %d", got)
	}
	h.login(t, "root", password)
}
