package auth

import (
	"strings"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	h := newFixture(t)
	secret, token, err := h.NewToken("grafana", Viewer, time.Hour)
	if err != nil || !strings.HasPrefix(secret, "sysotel_") || len(secret) != tokenLength {
		t.Fatal(len(secret), err)
	}
	if got, want := h.accepted(t, secret), (Identity{Kind: KindToken, ID: token.ID, Name: "grafana", Role: Viewer}); got != want {
		t.Errorf("%+v", got)
	}
	_, _, err = h.NewToken("GRAFANA", Admin, 0)
	wants(t, err, ErrExists)
	_, _, err = h.NewToken("gra fana", Admin, 0)
	wants(t, err, ErrInvalid)
	_, _, err = h.NewToken("other", Public, 0)
	wants(t, err, ErrInvalid)
	_, _, err = h.NewToken("other", Viewer, -1)
	wants(t, err, ErrInvalid)

	h.pass(time.Hour - time.Second)
	h.accepted(t, secret)
	h.pass(time.Second)
	h.refused(t, secret, ErrExpired)
	h.pass(keepExpired - time.Second)
	h.tidy()
	h.refused(t, secret, ErrExpired)
	h.pass(time.Second)
	h.tidy()
	h.refused(t, secret, ErrDenied)
	if left := h.Tokens(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
}

func TestRevokedToken(t *testing.T) {
	h := newFixture(t)
	secret, token, err := h.NewToken("script", Admin, 0)
	if err != nil {
		t.Fatal(err)
	}
	h.pass(100 * 365 * day)
	h.accepted(t, secret)
	if err := h.RevokeToken(token.ID); err != nil {
		t.Fatal(err)
	}
	h.refused(t, secret, ErrDenied)
	wants(t, h.RevokeToken(token.ID), ErrNotFound)
}

func TestForgedToken(t *testing.T) {
	h := newFixture(t)
	secret, _, err := h.NewToken("script", Admin, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range secret {
		forged := []byte(secret)
		forged[i] ^= 1
		h.refused(t, string(forged), ErrDenied)
	}
	h.refused(t, newTokenSecret(), ErrDenied)
	h.refused(t, tokenPrefix, ErrDenied)
	h.refused(t, secret+"A", ErrDenied)
}

func TestLastUse(t *testing.T) {
	h := newFixture(t)
	secret, _, err := h.NewToken("script", Viewer, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Tokens()[0].LastUsed; !got.IsZero() {
		t.Error(got)
	}
	h.pass(90 * time.Minute)
	h.accepted(t, secret)
	want := h.now().Truncate(time.Hour)
	if got := h.Tokens()[0].LastUsed; got != want {
		t.Errorf("%v, want %v", got, want)
	}
	h = h.reopened(t)
	if got := h.Tokens()[0].LastUsed; got != want {
		t.Errorf("%v after a restart, want %v", got, want)
	}
	if h.untidy() {
		t.Error("nothing was used since")
	}
}
