package api

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// requestFrom is a request from an address with the lines of X-Forwarded-For.
func requestFrom(peer string, forwarded ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = peer
	if len(forwarded) > 0 {
		r.Header["X-Forwarded-For"] = forwarded
	}
	return r
}

func TestWhoseARequestIs(t *testing.T) {
	p := newProxies(HTTPConfig{TrustedProxies: []string{"10.0.0.5", "10.1.0.0/16", "fd00::/64"}})
	f := func(want, peer string, forwarded ...string) {
		t.Helper()
		if got := p.client(requestFrom(peer, forwarded...)).String(); got != want {
			t.Errorf("from %s with %q: %s, want %s", peer, forwarded, got, want)
		}
	}
	// The headers of clients that are not proxies are ignored.
	f("192.0.2.1", "192.0.2.1:40000")
	f("192.0.2.1", "192.0.2.1:40000", "198.51.100.7")
	f("10.0.0.6", "10.0.0.6:40000", "198.51.100.7")
	f("127.0.0.1", "127.0.0.1:40000", "198.51.100.7")
	f("2001:db8::1", "[2001:db8::1]:40000", "198.51.100.7")
	f("192.0.2.1", "[::ffff:192.0.2.1]:40000")
	f("fe80::1", "[fe80::1%eth0]:40000")

	// Entries of the client precede those of the proxies.
	f("198.51.100.7", "10.0.0.5:40000", "198.51.100.7")
	f("198.51.100.7", "[::ffff:10.0.0.5]:40000", "198.51.100.7")
	f("198.51.100.7", "10.0.0.5:40000", "127.0.0.1, 203.0.113.9, 198.51.100.7")
	f("198.51.100.7", "10.0.0.5:40000", "127.0.0.1", "198.51.100.7")
	f("198.51.100.7", "10.0.0.5:40000", "<script>,,unknown, 198.51.100.7")
	f("198.51.100.7", "10.0.0.5:40000", "203.0.113.9, 198.51.100.7, 10.1.2.3", "10.0.0.5, fd00::2")
	f("2001:db8::7", "[fd00::1]:40000", "1.1.1.1,2001:db8::7")
	f("2001:db8::7", "10.0.0.5:40000", "[2001:db8::7]:443")
	f("198.51.100.7", "10.0.0.5:40000", "198.51.100.7:1024")
	f("198.51.100.7", "10.0.0.5:40000", "::ffff:198.51.100.7")

	// A request of the proxy itself, and a chain of proxies only.
	f("10.0.0.5", "10.0.0.5:40000")
	f("10.1.2.3", "10.0.0.5:40000", "10.1.2.3, 10.0.0.5")

	// A malformed chain is ignored.
	for _, garbage := range []string{
		"", " ", ",", "198.51.100.7,", "unknown", "_hidden", "198.51.100", "198.51.100.7 198.51.100.8", "198.51.100.7;", "0x7f.1",
		"for=198.51.100.7", "fe80::1%eth0", "0.0.0.0", "224.0.0.1", "[2001:db8::7]", "198.51.100.7:99999", "203.0.113.9, ?", "203.0.113.9, unknown, 10.1.0.1",
		strings.Repeat("10.1.0.1,", maxHops) + "10.1.0.1",
	} {
		f("10.0.0.5", "10.0.0.5:40000", garbage)
	}
	for _, socket := range []string{"", "@"} {
		r := requestFrom(socket, "198.51.100.7")
		if _, counted := p.key(r); counted || p.client(r).IsValid() {
			t.Errorf("a request by the Unix socket is counted for %s", p.client(r))
		}
	}
}

func TestWhatIsOneClient(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::9": "2001:db8:1:2::", "2001:db8:1:3::9": "2001:db8:1:3::",
		"127.0.0.1": "127.0.0.1", "127.9.8.7": "127.0.0.1", "127.255.255.254": "127.0.0.1", "::1": "127.0.0.1",
	} {
		if got := clientNetwork(netip.MustParseAddr(address)).String(); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

func TestSecure(t *testing.T) {
	p := newProxies(HTTPConfig{BehindProxy: true}) // On this machine by default.
	f := func(want bool, peer string, proto ...string) {
		t.Helper()
		r := requestFrom(peer)
		r.Header["X-Forwarded-Proto"] = proto
		if got := p.secure(r); got != want {
			t.Errorf("from %s with %q: %t, want %t", peer, proto, got, want)
		}
	}
	f(true, "127.0.0.1:1", "https")
	f(true, "[::1]:1", "https")
	f(false, "127.0.0.1:1")
	f(false, "127.0.0.1:1", "http")
	f(false, "127.0.0.1:1", "HTTPS, http")
	f(false, "127.0.0.1:1", "https", "http")
	f(false, "192.0.2.1:1", "https")
	r := requestFrom("192.0.2.1:1")
	r.TLS = &tls.ConnectionState{}
	if !p.secure(r) || !proxies(nil).secure(r) {
		t.Error("a request over TLS is not secure")
	}
}

// Our pages have an https origin if the proxy was reached by TLS.
func TestOriginBehindAProxy(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) { o.Config.BehindProxy = true })
	for peer, want := range map[string]int{"127.0.0.1:1": 200, "192.0.2.1:1": 403} {
		r := requestFrom(peer)
		r.URL.Path, r.Host = "/api/v1/health", "localhost"
		r.Header.Set("Origin", "https://localhost")
		r.Header.Set("X-Forwarded-Proto", "https")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("from %s: %d, want %d", peer, w.Code, want)
		}
	}
}

// FuzzForwardedFor: for any X-Forwarded-For the client is the proxy's own address or
// one from the header, and never a proxy's if a client precedes it.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"198.51.100.7", "127.0.0.1, [2001:db8::7]:443", "unknown,,10.0.0.5", "::ffff:1.2.3.4", "fe80::1%x", strings.Repeat("10.0.0.5,", 40)} {
		f.Add(seed)
	}
	p := newProxies(HTTPConfig{TrustedProxies: []string{"10.0.0.5"}})
	f.Fuzz(func(t *testing.T, header string) {
		client := p.client(requestFrom("10.0.0.5:40000", header))
		if !client.IsValid() || client.Zone() != "" || client.Is4In6() {
			t.Fatalf("%q made %v", header, client)
		}
		if client != netip.MustParseAddr("10.0.0.5") && !strings.ContainsAny(header, ".:") {
			t.Fatalf("%q made %v", header, client)
		}
		if got := p.client(requestFrom("10.0.0.5:40000", header+", 198.51.100.7")); got != netip.MustParseAddr("198.51.100.7") {
			t.Fatalf("%q before the client's address made %v of it", header, got)
		}
		if got := p.client(requestFrom("192.0.2.1:40000", header)); got != netip.MustParseAddr("192.0.2.1") {
			t.Fatalf("%q from a stranger made %v of him", header, got)
		}
	})
}
