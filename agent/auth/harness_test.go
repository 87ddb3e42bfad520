package auth

import (
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "sysotel/host-a"
	password = "a quiet river at dawn"
	other    = "a loud river at dusk!"
)

// handClock is a clock that the test advances.
type handClock struct {
	mu     sync.Mutex
	moment time.Time
}

func newHandClock() *handClock {
	return &handClock{moment: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moment
}

func (c *handClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moment = c.moment.Add(d)
}

// cheap makes hashing fast, for tests of other things.
var cheap = cost{memory: 8, time: 1, threads: 1}

// open opens accounts in a directory, with cheap passwords.
func open(t testing.TB, dir string, c *handClock) *Auth {
	t.Helper()
	a, err := Open(Options{Dir: dir, Issuer: issuer, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	a.hasher.cost = cheap
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// fixture is accounts with an administrator who is logged in.
type fixture struct {
	*Auth
	*handClock
	dir   string
	admin Grant
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	h := &fixture{handClock: newHandClock(), dir: t.TempDir()}
	h.Auth = open(t, h.dir, h.handClock)
	code, _, err := h.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	if h.admin, err = h.Setup(t.Context(), code, "root", password); err != nil {
		t.Fatal(err)
	}
	return h
}

// reopened returns the same accounts after a restart.
func (h *fixture) reopened(t testing.TB) *fixture {
	t.Helper()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	return &fixture{Auth: open(t, h.dir, h.handClock), handClock: h.handClock, dir: h.dir, admin: h.admin}
}

func (h *fixture) login(t testing.TB, name, password string) Grant {
	t.Helper()
	g, err := h.Login(t.Context(), name, password)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (h *fixture) add(t testing.TB, name string, role Role) User {
	t.Helper()
	u, err := h.AddUser(t.Context(), name, password, role)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// wants checks an error; nil for none.
func wants(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// refused checks that Verify fails.
func (h *fixture) refused(t testing.TB, bearer string, want error) {
	t.Helper()
	who, err := h.Verify(bearer)
	wants(t, err, want)
	if who != (Identity{}) {
		t.Errorf("refused, but it is %+v", who)
	}
}

func (h *fixture) accepted(t testing.TB, bearer string) Identity {
	t.Helper()
	who, err := h.Verify(bearer)
	if err != nil {
		t.Errorf("refused: %v", err)
	}
	return who
}
