package auth

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestAccess(t *testing.T) {
	h := newFixture(t)
	want := Identity{Kind: KindUser, ID: h.admin.Identity.ID, Name: "root", Role: Admin, Session: h.admin.Identity.Session}
	if got := h.accepted(t, h.admin.Access); got != want || want.ID == "" || want.Session == "" {
		t.Errorf("got %+v, want %+v", got, want)
	}
	h.pass(15*time.Minute - time.Second)
	h.accepted(t, h.admin.Access)
	h.pass(time.Second)
	h.refused(t, h.admin.Access, ErrExpired)
}

// TestForgedAccess signs wrong claims with the right key, and the right claims with
// wrong keys.
func TestForgedAccess(t *testing.T) {
	h := newFixture(t)
	now := h.now()
	own := h.keys.Load().newest()
	forge := func(method jwt.SigningMethod, key any, kid any, change jwt.MapClaims) string {
		c := jwt.MapClaims{
			"iss": issuer, "aud": audience, "sub": h.admin.Identity.ID, "sid": h.admin.Identity.Session,
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		}
		maps.Copy(c, change)
		maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		token := jwt.NewWithClaims(method, c)
		if kid != nil {
			token.Header["kid"] = kid
		}
		signed, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	hs, secret := jwt.SigningMethodHS256, []byte(own.Secret)
	good := forge(hs, secret, own.ID, nil)
	h.accepted(t, good)
	parts := strings.Split(good, ".")
	tampered := func(part int) string {
		p := append([]string(nil), parts...)
		b := []byte(p[part])
		b[len(b)/2] ^= 1
		p[part] = string(b)
		return strings.Join(p, ".")
	}
	payload := func(text string) string {
		return parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(text)) + "." + parts[2]
	}
	another := &fixture{handClock: h.handClock, dir: t.TempDir()}
	another.Auth = open(t, another.dir, h.handClock)

	for _, c := range []struct {
		name, bearer string
		want         error
	}{
		{"nothing", "", ErrDenied},
		{"no token", "hello", ErrDenied},
		{"long", strings.Repeat("a.", 100_000), ErrDenied},
		{"alg none", forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, own.ID, nil), ErrDenied},
		{"alg none, our signature", strings.Replace(good, parts[0], base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"`+own.ID+`"}`)), 1), ErrDenied},
		{"another algorithm", forge(jwt.SigningMethodHS512, secret, own.ID, nil), ErrDenied},
		{"wrong key", forge(hs, []byte(another.keys.Load().newest().Secret), own.ID, nil), ErrDenied},
		{"empty key", forge(hs, []byte{}, own.ID, nil), ErrDenied},
		{"unknown key", forge(hs, secret, "unknown", nil), ErrDenied},
		{"no key named", forge(hs, secret, nil, nil), ErrDenied},
		{"a number for a key", forge(hs, secret, 1, nil), ErrDenied},
		{"wrong audience", forge(hs, secret, own.ID, jwt.MapClaims{"aud": "another-api"}), ErrDenied},
		{"no audience", forge(hs, secret, own.ID, jwt.MapClaims{"aud": nil}), ErrDenied},
		{"another host's", forge(hs, secret, own.ID, jwt.MapClaims{"iss": "sysotel/host-b"}), ErrDenied},
		{"no issuer", forge(hs, secret, own.ID, jwt.MapClaims{"iss": nil}), ErrDenied},
		{"expired", forge(hs, secret, own.ID, jwt.MapClaims{"exp": now.Unix()}), ErrExpired},
		{"never expires", forge(hs, secret, own.ID, jwt.MapClaims{"exp": nil}), ErrDenied},
		{"not yet valid", forge(hs, secret, own.ID, jwt.MapClaims{"nbf": now.Unix() + 1}), ErrDenied},
		{"no first moment", forge(hs, secret, own.ID, jwt.MapClaims{"nbf": nil}), ErrDenied},
		{"issued in the future", forge(hs, secret, own.ID, jwt.MapClaims{"iat": now.Unix() + 1}), ErrDenied},
		{"no user", forge(hs, secret, own.ID, jwt.MapClaims{"sub": nil}), ErrDenied},
		{"unknown user", forge(hs, secret, own.ID, jwt.MapClaims{"sub": "x"}), ErrDenied},
		{"unknown session", forge(hs, secret, own.ID, jwt.MapClaims{"sid": "x"}), ErrDenied},
		{"another's session", forge(hs, secret, own.ID, jwt.MapClaims{"sub": h.add(t, "anna", Viewer).ID}), ErrDenied},
		{"header tampered with", tampered(0), ErrDenied},
		{"payload tampered with", tampered(1), ErrDenied},
		{"signature tampered with", tampered(2), ErrDenied},
		{"another payload", payload(`{"sub":"` + h.admin.Identity.ID + `"}`), ErrDenied},
		{"a line break in it", good[:len(good)-5] + "\n" + good[len(good)-5:], ErrDenied},
		{"a line break behind it", good + "\r\n", ErrDenied},
		{"another last character of the same bytes", good[:len(good)-1] + string(good[len(good)-1]+1), ErrDenied},
		{"signature cut off", parts[0] + "." + parts[1] + ".", ErrDenied},
		{"expired and wrongly signed", forge(hs, []byte("x"), own.ID, jwt.MapClaims{"exp": now.Unix() - 1}), ErrDenied},
	} {
		t.Run(c.name, func(t *testing.T) { h.refused(t, c.bearer, c.want) })
	}
	t.Run("really another host's", func(t *testing.T) { another.refused(t, h.admin.Access, ErrDenied) })
}

func TestKeyRotation(t *testing.T) {
	h := newFixture(t)
	first := h.keys.Load()
	h.pass(signFor - 5*time.Minute)
	old := h.login(t, "root", password)
	h.rotate()
	if h.keys.Load() != first {
		t.Error("rotated too early")
	}
	h.pass(5 * time.Minute)
	h.rotate()
	if got := len(h.keys.Load().Keys); got != 2 || h.keys.Load().newest().ID == first.newest().ID {
		t.Fatalf("%d keys", got)
	}
	h.accepted(t, old.Access)
	fresh := h.login(t, "root", password)
	h = h.reopened(t)
	h.accepted(t, old.Access)
	h.accepted(t, fresh.Access)

	h.pass(10*time.Minute - time.Second)
	h.rotate()
	h.accepted(t, old.Access)
	h.pass(time.Second)
	h.rotate()
	h.refused(t, old.Access, ErrExpired)
	if got := len(h.keys.Load().Keys); got != 2 {
		t.Errorf("%d keys: the first signed until a moment ago", got)
	}
	h.pass(5 * time.Minute)
	h.rotate()
	if got := h.reopened(t).keys.Load().Keys; len(got) != 1 {
		t.Errorf("%d keys: no token of the first can live", len(got))
	}
}

// TestSeenAccess: what may change is checked again for a cached token.
func TestSeenAccess(t *testing.T) {
	h := newFixture(t)
	h.accepted(t, h.admin.Access)
	keys := h.keys.Load()
	if _, ok := h.seen.find(keys, digestOf([]byte(h.admin.Access))); !ok {
		t.Fatal("it is not remembered")
	}
	h.pass(-time.Minute)
	h.refused(t, h.admin.Access, ErrDenied)
	h.pass(16 * time.Minute)
	h.refused(t, h.admin.Access, ErrExpired)
	h.pass(-15 * time.Minute)
	for i := range 3 * maxSeen {
		h.seen.add(keys, digest{byte(i), byte(i >> 8)}, seenToken{})
	}
	if n := len(h.seen.tokens); n > maxSeen {
		t.Errorf("%d are remembered", n)
	}
	h.accepted(t, h.admin.Access)
	if _, ok := h.seen.find(&keyring{}, digestOf([]byte(h.admin.Access))); ok {
		t.Error("it is remembered for other keys")
	}
	if err := h.Logout(h.admin.Identity.Session); err != nil {
		t.Fatal(err)
	}
	h.refused(t, h.admin.Access, ErrDenied)
}

// TestKeyOfTheFuture: the clock was wrong when the key was created.
func TestKeyOfTheFuture(t *testing.T) {
	h := newFixture(t)
	first := h.keys.Load().newest().ID
	h.pass(-10 * 365 * day)
	h.rotate()
	if got := h.keys.Load().newest().ID; got == first {
		t.Error("it would sign for ten years")
	}
}
