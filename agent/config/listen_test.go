package config

import (
	"strings"
	"testing"
)

// TestListenOffLoopback: an address open to the network needs TLS, and the error
// names every remedy.
func TestListenOffLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:8080", ":8080", "[::]:8080", "192.0.2.1:8080", "sysotel.example:8080", "[::ffff:192.0.2.1]:1"} {
		_, invalid := Load(Options{Env: home(), Args: []string{"--http.listen=" + address}})
		got := lines(invalid)
		for _, way := range []string{"tls.cert_file", "tls.key_file", "tls.self_signed: true", "http.behind_proxy: true", "SSH tunnel"} {
			if !strings.Contains(got, way) {
				t.Errorf("%s: %q does not say %s", address, got, way)
			}
		}
	}
	for _, way := range [][]string{
		{"--tls.self-signed"},
		{"--tls.cert-file=testdata/https/server.pem", "--tls.key-file=testdata/https/server.key"},
		{"--http.behind-proxy"},
	} {
		if _, invalid := Load(Options{Env: home(), Args: append(way, "--http.listen=0.0.0.0:8080")}); len(invalid) > 0 {
			t.Errorf("with %v: %s", way, lines(invalid))
		}
	}
	for _, address := range []string{"127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.9.9.9:1", "[::ffff:127.0.0.1]:1"} {
		if _, invalid := Load(Options{Env: home(), Args: []string{"--http.listen=" + address}}); len(invalid) > 0 {
			t.Errorf("%s: %s", address, lines(invalid))
		}
	}
}

// TestWhoMustLogIn: an API open to the network needs a login, however it is reached.
func TestWhoMustLogIn(t *testing.T) {
	f := func(want bool, args ...string) {
		t.Helper()
		c, _ := Load(Options{Env: home(), Args: args}) // Addresses without TLS are errors, which do not matter here.
		if got := c.API.Authenticates(); got != want {
			t.Errorf("%v: callers must log in: %t, want %t", args, got, want)
		}
	}
	f(false)
	f(false, "--http.listen=[::1]:8080")
	f(false, "--http.external-url=http://localhost:8081")
	f(true, "--auth.mode=always")
	f(true, "--http.behind-proxy")
	f(true, "--http.listen=0.0.0.0:8080")
	f(true, "--http.listen=:8080")
	f(true, "--http.listen=192.0.2.1:8080")
	f(true, "--http.listen=sysotel.example:8080")
	f(true, "--http.external-url=https://sysotel.example")
}
