package auth

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecretsDoNotShow: neither printed, nor logged, nor on disk.
func TestSecretsDoNotShow(t *testing.T) {
	h := newFixture(t)
	secret, _, err := h.NewToken("script", Admin, 0)
	if err != nil {
		t.Fatal(err)
	}
	signs := h.keys.Load().newest()
	user := h.current.Load().Users[0]
	var log bytes.Buffer
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))} {
		logger.Info("look", "grant", h.admin, "secret", signs.Secret)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&log, verb+verb+verb+verb, h.admin, *signs, user, user.Password)
	}
	raw, err := base64.RawURLEncoding.DecodeString(h.admin.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	key := string(user.Password.key)
	shown := map[string]string{
		"access": h.admin.Access, "refresh": h.admin.Refresh, "signing key": string(signs.Secret), "signing key in hex": fmt.Sprintf("%x", []byte(signs.Secret)),
		"signing key in base64": base64.StdEncoding.EncodeToString(signs.Secret), "password hash": key, "password hash in hex": fmt.Sprintf("%x", key),
	}
	for what, text := range shown {
		if strings.Contains(log.String(), text) {
			t.Errorf("%s is shown", what)
		}
	}
	rest, err := os.ReadFile(filepath.Join(h.dir, accountsFile))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"access": h.admin.Access, "refresh": h.admin.Refresh, "API token": secret, "part of the API token": secret[len(tokenPrefix) : len(tokenPrefix)+20], "password": password,
		"first part of refresh": base64.RawURLEncoding.EncodeToString(raw[:familyBytes]), "second part": base64.RawURLEncoding.EncodeToString(raw[familyBytes:]),
	} {
		if strings.Contains(string(rest), text) {
			t.Errorf("%s is at rest", what)
		}
	}
}
