package export

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/agent/health"
	"sysotel/agent/secret"
)

// folder are files that a test replaces, in place or as Kubernetes does: each is a link
// into a folder that is a link itself, which is exchanged.
type folder struct {
	dir     string
	linked  bool
	version int
}

// replace writes new files.
func (f *folder) replace(t *testing.T, files map[string][]byte) {
	t.Helper()
	to := f.dir
	if f.linked {
		f.version++
		to = filepath.Join(f.dir, strings.Repeat("v", f.version))
		if err := os.Mkdir(to, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(to, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !f.linked {
		return
	}
	if err := os.Symlink(to, filepath.Join(f.dir, "new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(f.dir, "new"), filepath.Join(f.dir, "current")); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if err := os.Symlink(filepath.Join("current", name), f.path(name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
}

// path is where the agent finds a file.
func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// issued are the files of a client and the TLS configuration of a receiver, both of a new
// authority.
func issued(t *testing.T) (files map[string][]byte, server *tls.Config) {
	t.Helper()
	_, _, _, by := certificate(t, nil, "authority")
	pair, _, _, _ := certificate(t, by, "collector.example")
	_, cert, key, _ := certificate(t, by, "client")
	files = map[string][]byte{}
	for name, from := range map[string]string{"ca.pem": by.file, "cert.pem": cert, "key.pem": key} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content
	}
	return files, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(by), MinVersion: tls.VersionTLS12,
	}
}

// TestReplacedCertificates: a receiver and its clients get certificates of a new authority,
// without a restart of the agent; half of them are no reason to use none.
func TestReplacedCertificates(t *testing.T) {
	t.Parallel()
	for name, linked := range map[string]bool{"in place": false, "by a link": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &folder{dir: t.TempDir(), linked: linked}
			files, server := issued(t)
			f.replace(t, files)
			before, after := &receiver{}, &receiver{}
			relay := newRelay(t, before.serve(t, "127.0.0.1:0", server))
			a := pushTo(t, "https://"+relay.address, func(c *Config) {
				c.OTLP.TLS = TLSConfig{CA: f.path("ca.pem"), Cert: f.path("cert.pem"), Key: f.path("key.pem"), ServerName: "collector.example"}
			})
			sent := func(n uint64) {
				t.Helper()
				within(t, patience, "it is sent", func() bool { return a.otlp.finest().stats().Sent == n })
			}
			a.load(t, 0)
			sent(1)

			replaced, server := issued(t)
			half := map[string][]byte{"ca.pem": replaced["ca.pem"], "cert.pem": replaced["cert.pem"][:100], "key.pem": files["key.pem"]}
			f.replace(t, half)
			relay.redirect(relay.to) // The agent has to connect again.
			a.load(t, 1)
			sent(2)
			h := a.otlp.finest().health()
			if h.Status != health.Degraded || !strings.Contains(h.Reason, "otlp.tls") || !strings.Contains(h.Reason, "cert.pem") || h.Since.IsZero() {
				t.Errorf("health of half a certificate: %+v", h)
			}
			a.log.soon(t, 1, "level=WARN", "cannot use the changed files", "otlp.tls")

			f.replace(t, replaced)
			relay.redirect(after.serve(t, "127.0.0.1:0", server))
			a.load(t, 2)
			sent(3)
			equal(t, "health", a.otlp.finest().health().Status, health.OK)
			a.log.soon(t, 1, "level=INFO", "changed files are in use", "otlp.tls")
			a.wantLoads(t, before, 0, 1)
			a.wantLoads(t, after, 2)
		})
	}
}

// TestReplacedToken: the next request has the new token; an empty file leaves the old one.
func TestReplacedToken(t *testing.T) {
	t.Parallel()
	f := &folder{dir: t.TempDir()}
	f.replace(t, map[string][]byte{"token": []byte("first\n")})
	r := &receiver{}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) {
		c.OTLP.Headers = map[string]secret.Text{"authorization": secret.Text("Bearer ${file:" + f.path("token") + "}")}
	})
	for i, step := range []struct{ written, sent string }{
		{"first\n", "Bearer first"}, {"second", "Bearer second"}, {"", "Bearer second"}, {"with\x00control", "Bearer second"}, {"third", "Bearer third"},
	} {
		f.replace(t, map[string][]byte{"token": []byte(step.written)})
		a.load(t, i)
		r.wait(t, 1)
		_, headers, _ := r.call(i)
		equal(t, "header", strings.Join(headers.Get("authorization"), ","), step.sent)
		bad := step.written == "" || strings.Contains(step.written, "control")
		within(t, 10*time.Second, "health is as it should be", func() bool { return (a.otlp.finest().health().Status == health.Degraded) == bad })
	}
	a.log.soon(t, 1, "level=WARN", "cannot use the changed files", "otlp.headers.authorization")
	for _, word := range []string{"first", "second", "third", "control"} {
		a.log.want(t, 0, word)
	}

	c := Defaults()
	c.OTLP.Endpoint, c.OTLP.Headers = "http://127.0.0.1:1", map[string]secret.Text{"x": "${file:/none/such}"}
	if _, err := New(testOptions(t, c, &logbook{})); err == nil || !strings.Contains(err.Error(), "otlp.headers.x: cannot read the file /none/such: no such file") {
		t.Errorf("a header without its file: %v", err)
	}
}
