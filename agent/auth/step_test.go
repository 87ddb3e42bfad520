package auth

import (
	"path/filepath"
	"testing"
	"time"

	"sysotel/agent/clock"
)

// judged is accounts whose time is by a judge of two fake clocks.
type judged struct {
	*fixture
	*clock.Judge
	wall, up *handClock
	file     string
	boot     string
}

func newJudged(t *testing.T, ahead time.Duration) *judged {
	t.Helper()
	k := &judged{wall: newHandClock(), up: newHandClock(), file: filepath.Join(t.TempDir(), "clock.json"), boot: "boot"}
	k.fixture = &fixture{handClock: k.wall, dir: t.TempDir()}
	k.wall.pass(ahead)
	k.open(t)
	code, _, err := k.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	if k.admin, err = k.Setup(t.Context(), code, "root", password); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *judged) open(t *testing.T) {
	t.Helper()
	zero := newHandClock().Now().Add(-time.Hour)
	k.Judge = clock.New(clock.Options{
		File: k.file, BootID: k.boot, Wall: k.wall.Now, Synced: func() bool { return true },
		Boot: func() time.Duration { return k.up.Now().Sub(zero) },
	})
	a, err := Open(Options{Dir: k.dir, Issuer: issuer, Clock: k.Judge})
	if err != nil {
		t.Fatal(err)
	}
	a.hasher.cost = cheap
	k.Auth = a
}

// live passes time, in which the accounts look at the clock.
func (k *judged) live(d time.Duration) {
	k.wall.pass(d)
	k.up.pass(d)
	k.Observe()
	k.tryAgain()
}

// set sets the wall clock; the accounts see it running, or only after a restart.
func (k *judged) set(t *testing.T, by time.Duration, restart bool) {
	t.Helper()
	if !restart {
		k.wall.pass(by)
		k.live(time.Second)
		return
	}
	before := k.Auth // It is killed: what it did not write is lost.
	_ = k.Judge.Close()
	k.wall.pass(by)
	k.open(t)
	k.Observe()
	if before == k.Auth {
		t.Fatal("it was not opened again")
	}
	k.live(time.Second)
}

// TestStep: what was made while the clock was ahead of or behind the truth, and then set
// right, lives as long as it should by the clock that nobody can set.
func TestStep(t *testing.T) {
	for _, wrong := range []time.Duration{-365 * day, -day, -time.Hour, time.Hour, day, 365 * day} {
		for _, restart := range []bool{false, true} {
			name := "clock wrong by " + wrong.String()
			if restart {
				name += ", restarted"
			}
			t.Run(name, func(t *testing.T) {
				k := newJudged(t, wrong)
				k.live(time.Minute)
				secret, _, err := k.NewToken("short", Viewer, 20*day)
				if err != nil {
					t.Fatal(err)
				}
				old := k.admin
				k.set(t, -wrong, restart)
				now := newHandClock().Now()
				if u := k.Users()[0]; u.Created.Sub(now).Abs() > time.Minute {
					t.Errorf("the user was created at %s; it is %s", u.Created, now)
				}
				k.accepted(t, secret)
				g, err := k.Refresh(t.Context(), old.Refresh)
				if err != nil {
					t.Fatalf("the session has ended: %v", err)
				}
				k.accepted(t, g.Access)
				if k.accesses(old) {
					t.Error("an access token of the wrong clock is valid")
				}

				// The token of the time that was wrong is not valid when that time comes.
				if 0 < wrong && wrong < 20*day {
					k.live(wrong - time.Minute)
					for range 6 {
						k.live(time.Minute)
						if k.accesses(old) {
							t.Fatalf("an access token of the wrong clock is valid at %s", k.Now())
						}
					}
				}
				k.live(now.Add(20*day - time.Minute).Sub(k.Judge.Now()))
				k.accepted(t, secret)
				k.live(2 * time.Minute)
				k.refused(t, secret, ErrExpired)
				k.live(now.Add(30*day - time.Minute).Sub(k.Judge.Now()))
				if g, err = k.Refresh(t.Context(), g.Refresh); err != nil {
					t.Fatalf("the session ended early: %v", err)
				}
				k.live(2 * time.Minute)
				if _, err := k.Refresh(t.Context(), g.Refresh); err == nil {
					t.Error("the session outlives its 30 days")
				}
				if err := k.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// Now is the judge's time.
func (k *judged) Now() time.Time { return k.Judge.Now() }

// Close closes the accounts.
func (k *judged) Close() error { return k.Auth.Close() }

// accesses reports whether the access token of a grant is valid.
func (k *judged) accesses(g Grant) bool {
	_, err := k.Verify(g.Access)
	return err == nil
}

// TestStepKeepsOthers: a boot with a clock far ahead refuses the sessions and tokens of
// earlier ones, and has them still when the clock is set right; what has really expired
// is forgotten in the end.
func TestStepKeepsOthers(t *testing.T) {
	k := newJudged(t, 0)
	secret, _, err := k.NewToken("short", Viewer, 20*day)
	if err != nil {
		t.Fatal(err)
	}
	k.live(time.Minute)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	_ = k.Judge.Close()
	k.boot = "another"
	k.up.pass(-time.Minute)
	k.wall.pass(365 * day)
	k.open(t)
	k.live(time.Hour)
	k.refused(t, secret, ErrExpired)
	_, err = k.Refresh(t.Context(), k.admin.Refresh)
	wants(t, err, ErrExpired)
	k.set(t, -365*day, false)
	k.accepted(t, secret)
	if _, err := k.Refresh(t.Context(), k.admin.Refresh); err != nil {
		t.Errorf("the session is lost: %v", err)
	}
	for range 90 {
		k.live(day)
	}
	if c := k.current.Load(); len(c.Sessions) != 0 || len(c.Tokens) != 0 {
		t.Errorf("%d sessions and %d tokens are never forgotten", len(c.Sessions), len(c.Tokens))
	}
	if k.untidy() {
		t.Error("the file would be written at each look")
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStepOfSetup: a setup code keeps its 15 minutes.
func TestStepOfSetup(t *testing.T) {
	for _, wrong := range []time.Duration{-365 * day, -day, day, 365 * day} {
		for _, late := range []bool{false, true} {
			k := &judged{wall: newHandClock(), up: newHandClock(), file: filepath.Join(t.TempDir(), "clock.json"), boot: "boot"}
			k.fixture = &fixture{handClock: k.wall, dir: t.TempDir()}
			k.wall.pass(wrong)
			k.open(t)
			code, _, err := k.NewSetupCode()
			if err != nil {
				t.Fatal(err)
			}
			k.live(time.Minute)
			k.set(t, -wrong, false)
			want := error(nil)
			if k.live(13 * time.Minute); late {
				k.live(time.Minute)
				want = ErrExpired
			}
			_, err = k.Setup(t.Context(), code, "root", password)
			wants(t, err, want)
		}
	}
}
