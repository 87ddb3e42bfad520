package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	home   = netip.MustParseAddr("192.0.2.1")
	abroad = netip.MustParseAddr("198.51.100.7")
)

// guess tries as often as allowed for a time, and returns the number of attempts.
func guess(l *loginLimiter, addr netip.Addr, name string, long time.Duration) (n int) {
	for end := time.Now().Add(long); time.Now().Before(end); {
		wait, ok := l.allow(addr, name)
		if ok {
			n++
			continue
		}
		time.Sleep(wait)
	}
	return n
}

func TestGuessingIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoginLimiter(5)
		var waits []time.Duration
		for range 20 {
			wait, ok := l.allow(abroad, "alice")
			if !ok {
				waits = append(waits, wait)
				time.Sleep(wait)
				l.allow(abroad, "alice")
			}
		}
		if got, want := fmt.Sprint(waits[:11]), "[1s 2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 8m32s 15m0s]"; got != want {
			t.Errorf("the waits are %s, want %s", got, want)
		}
		if got := guess(l, abroad, "alice", 24*time.Hour); got > 24*4+1 {
			t.Errorf("%d guesses in a day, want one in 15 minutes", got)
		}
		time.Sleep(24 * time.Hour)
		for i := range 5 {
			if _, ok := l.allow(abroad, "alice"); !ok {
				t.Errorf("a day later attempt %d has to wait", i)
			}
		}
	})
}

// While a name is attacked from many addresses, its owner can log in from a known
// address, and all others as usual.
func TestAnAttackLocksNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoginLimiter(5)
		l.allow(home, "Alice")
		l.succeeded(home, "Alice")
		guesses := 0
		for i := range 10_000 {
			if _, ok := l.allow(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), "alice"); ok {
				guesses++
			}
		}
		if guesses != 5*wider {
			t.Errorf("10,000 addresses had %d guesses at once", guesses)
		}
		if _, ok := l.allow(abroad, "alice"); ok {
			t.Error("one more address was let in")
		}
		for range 10 {
			if _, ok := l.allow(home, "alice"); !ok {
				t.Fatal("the owner is locked out where he was before")
			}
			l.succeeded(home, "alice")
		}
		if _, ok := l.allow(abroad, "bob"); !ok {
			t.Error("another user is locked out")
		}
		if got := guess(l, abroad, "alice", time.Hour); got > 20 {
			t.Errorf("the owner's success gave others %d guesses in an hour", got)
		}
	})
}

// An attacker with an account cannot use it to guess another's password.
func TestASuccessHelpsNoGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoginLimiter(5)
		guesses := 0
		for range 1000 {
			if _, ok := l.allow(abroad, "mallory"); ok {
				l.succeeded(abroad, "mallory")
			}
			if _, ok := l.allow(abroad, "alice"); ok {
				guesses++
			}
		}
		if guesses != 5 {
			t.Errorf("%d guesses at once between successes", guesses)
		}
	})
}

func TestAttemptsAtTheSameTime(t *testing.T) {
	l := newLoginLimiter(5)
	var all sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for range 100 {
		all.Go(func() {
			if _, ok := l.allow(abroad, "alice"); ok {
				mu.Lock()
				in++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if in != 5 {
		t.Errorf("%d of 100 at the same time were let in", in)
	}
}

func TestAnAttemptThatNobodyJudged(t *testing.T) {
	l := newLoginLimiter(5)
	for i := range 100 {
		if _, ok := l.allow(abroad, "alice"); !ok {
			t.Fatalf("attempt %d has to wait, and none was checked", i)
		}
		l.unchecked(abroad, "alice")
	}
}

// TestLimitsAreNotWashedOut: attempts with 100,000 other names from as many other
// addresses in between give no guess back, and lock out nobody else.
func TestLimitsAreNotWashedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoginLimiter(5)
		l.allow(home, "alice")
		l.succeeded(home, "alice")
		address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}) }
		for i := range 5 * wider {
			l.allow(address(i), "alice")
		}
		for range 5 {
			l.allow(abroad, "bob")
		}
		locked := 0
		for i := range 100_000 {
			if _, ok := l.allow(address(i+100), fmt.Sprint("user", i)); !ok {
				locked++
			}
		}
		if locked > 0 {
			t.Errorf("%d of those who tried once had to wait", locked)
		}
		if _, ok := l.allow(address(99), "alice"); ok {
			t.Error("the attempts for a name were washed out")
		}
		if _, ok := l.allow(abroad, "carol"); ok {
			t.Error("the attempts of an address were washed out")
		}
		if _, ok := l.allow(home, "alice"); !ok {
			t.Error("the address of the owner was washed out")
		}
		// An attacker with an account logs in from everywhere.
		for i := range 10_000 {
			if _, ok := l.allow(address(200_000+i), "mallory"); ok {
				l.succeeded(address(200_000+i), "mallory")
			}
		}
		if _, ok := l.allow(home, "alice"); !ok {
			t.Error("log-ins of another user washed out the owner's address")
		}
	})
}

// TestOneAddressLocksNobodyOut: as long as one address tries, its owner can log in from
// any other.
func TestOneAddressLocksNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoginLimiter(5)
		for day := range 3 {
			guess(l, abroad, "alice", 24*time.Hour)
			if wait, ok := l.allow(home, "alice"); !ok {
				t.Errorf("on day %d the owner has to wait for %v", day, wait)
			}
			l.unchecked(home, "alice")
		}
	})
}

// TestGuessingOverHTTP: an attacker has to wait, whatever the name, while another
// address can log in.
func TestGuessingOverHTTP(t *testing.T) {
	d := newAuthServer(t, func(o *Options) { o.RateLimit.Logins = 3 })
	d.user("ada", Admin)
	try := func(address, password string) *httptest.ResponseRecorder {
		body, err := json.Marshal(LoginRequest{Name: "ada", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/auth/login", bytes.NewReader(body))
		r.Host, r.RemoteAddr = "localhost", address
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, r)
		return w
	}
	if w := try("192.0.2.1:1", testPassword); w.Code != http.StatusOK {
		t.Fatalf("the right password: %d %s", w.Code, w.Body)
	}
	for i := range 3 {
		if w := try("198.51.100.7:1", "wrong password"); w.Code != http.StatusUnauthorized {
			t.Errorf("guess %d: %d", i, w.Code)
		}
	}
	w := try("198.51.100.7:1", testPassword)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("the guess after them: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if w := try("192.0.2.1:1", testPassword); w.Code != http.StatusOK {
		t.Errorf("the owner, where he was before: %d %s", w.Code, w.Body)
	}
}
