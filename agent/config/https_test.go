package config

import (
	"strings"
	"testing"
)

// TestHTTPS checks the options of HTTPS and of the scrape page's web configuration
// file. The word topsecret stands for passwords and is never shown.
func TestHTTPS(t *testing.T) {
	const (
		cert, key = "--tls.cert-file=testdata/https/server.pem", "--tls.key-file=testdata/https/server.key"
		ca        = "--tls.client-ca-file=testdata/https/server.pem"
		self      = "--tls.self-signed"
		redirect  = "--tls.redirect=0.0.0.0:8081"
		open      = "--prometheus.listen=:9100"
		noTLS     = "set tls.cert_file and tls.key_file, or tls.self_signed: true (--tls."
	)
	web := func(name string) string { return "--prometheus.web-config=testdata/https/" + name }
	f := func(want string, args ...string) {
		t.Helper()
		c, invalid := Load(Options{Env: home(), Args: args})
		got := lines(invalid)
		if strings.TrimSpace(got) != want {
			t.Errorf("%v\ngives %s\nwant  %s", args, got, want)
		}
		if strings.Contains(got, "topsecret") || strings.Contains(got, "topse") {
			t.Errorf("a secret is shown: %s", got)
		}
		if want == "" && c.API.Encrypted() != strings.Contains(strings.Join(args, " "), "--tls.") {
			t.Errorf("%v: Encrypted = %v", args, c.API.Encrypted())
		}
	}
	f("", cert, key, "--tls.min-version=1.3", redirect)
	f("", cert, key, ca, "--tls.client-auth=request")
	f("", self, ca, "--tls.client-auth=require")
	f("tls.cert_file: testdata/https/server.pem is not allowed: requires its key in tls.key_file (--tls.cert-file)", cert)
	f("tls.key_file: testdata/https/server.key is not allowed: requires its certificate in tls.cert_file (--tls.key-file)", key)
	f("tls.self_signed: true is not allowed: cannot be combined with tls.cert_file (--tls.self-signed)", cert, key, self)
	f("tls.cert_file: testdata/https/absent.pem is not allowed: cannot be used: no such file or directory (--tls.cert-file)", "--tls.cert-file=testdata/https/absent.pem", key)
	f("tls.key_file: testdata/https is not allowed: cannot be used: it is not a regular file (--tls.key-file)", cert, "--tls.key-file=testdata/https")
	f("tls.cert_file: testdata/https/server.pem is not allowed: cannot be used with tls.key_file testdata/https/other.key: tls: private key does not match public key (--tls.cert-file)", cert, "--tls.key-file=testdata/https/other.key")
	f("tls.cert_file: testdata/https/none.pem is not allowed: cannot be used with tls.key_file testdata/https/server.key: tls: failed to find any PEM data in certificate input (--tls.cert-file)", "--tls.cert-file=testdata/https/none.pem", key)
	f("tls.client_auth: sometimes is not allowed: must be one of none, request, require (--tls.client-auth)", cert, key, "--tls.client-auth=sometimes")
	f("tls.client_auth: require is not allowed: has no effect without TLS; "+noTLS+"client-auth)", ca, "--tls.client-auth=require")
	f("tls.client_auth: require is not allowed: requires the issuing authorities in tls.client_ca_file (--tls.client-auth)", self, "--tls.client-auth=require")
	f("tls.client_ca_file: testdata/https/server.pem is not allowed: has no effect while tls.client_auth is none; set that to request or require (--tls.client-ca-file)", cert, key, ca)
	f("tls.client_ca_file: testdata/https/none.pem is not allowed: cannot be used: it contains no PEM certificates (--tls.client-ca-file)", cert, key, "--tls.client-ca-file=testdata/https/none.pem", "--tls.client-auth=require")
	f("tls.client_ca_file: testdata/https/none.pem is not allowed: cannot be used: it contains no PEM certificates (--tls.client-ca-file)", self, "--tls.client-ca-file=testdata/https/none.pem", "--tls.client-auth=require")
	f("tls.min_version: 1.1 is not allowed: must be one of 1.2, 1.3; did you mean 1.2? (--tls.min-version)", cert, key, "--tls.min-version=1.1")
	f("tls.redirect: 0.0.0.0:8081 is not allowed: needs HTTPS to redirect to; "+noTLS+"redirect)", redirect)
	f("tls.redirect: 8081 is not allowed: must be HOST:PORT, such as 127.0.0.1:8081, or empty for none (--tls.redirect)", self, "--tls.redirect=8081")
	f("tls.redirect: 127.0.0.1:8080 is not allowed: http.listen is the same address (--tls.redirect)", self, "--tls.redirect=127.0.0.1:8080")
	f("tls.redirect: 127.0.0.1:9100 is not allowed: prometheus.listen is the same address (--tls.redirect)", self, "--tls.redirect=127.0.0.1:9100")

	f("", open, web("web.yaml"))
	f("", open, web("web_password.yaml"))
	f("", open, web("web_open.yaml"), "--prometheus.insecure")
	f("", web("web_open.yaml"))
	f("", open, "--prometheus.insecure")
	f("prometheus.listen: :9100 is not allowed: is open to the network without TLS and password; set both with prometheus.web_config, listen on 127.0.0.1, or set prometheus.insecure: true to allow it (--prometheus.listen)", open)
	const file, bad = "prometheus.web_config: testdata/https/", "is not a valid web configuration file: "
	f(file+"web_open.yaml is not allowed: has neither tls_server_config nor basic_auth_users, so :9100 is open to the network; add one of them, listen on 127.0.0.1, or set prometheus.insecure: true to allow it (--prometheus.web-config)", open, web("web_open.yaml"))
	f(file+"absent.yaml is not allowed: cannot be read: no such file or directory (--prometheus.web-config)", web("absent.yaml"))
	f(file+"web_unknown.yaml is not allowed: "+bad+"yaml: unmarshal errors: line 1: field basic_auth_user not found in type web.Config (--prometheus.web-config)", open, web("web_unknown.yaml"))
	f(file+"web_hash.yaml is not allowed: "+bad+"crypto/bcrypt: hashedSecret too short to be a bcrypted password (--prometheus.web-config)", open, web("web_hash.yaml"))
	f(file+"web_type.yaml is not allowed: "+bad+"yaml: unmarshal errors: line 1: cannot unmarshal !!str a value into map[string]config.Secret (--prometheus.web-config)", web("web_type.yaml"))
	f(file+"web_pair.yaml is not allowed: "+bad+"failed to load X509KeyPair: tls: private key does not match public key (--prometheus.web-config)", web("web_pair.yaml"))
	f(file+"web_absent.yaml is not allowed: "+bad+"failed to read cert_file (testdata/https/absent.pem): open testdata/https/absent.pem: no such file or directory (--prometheus.web-config)", web("web_absent.yaml"))
}
