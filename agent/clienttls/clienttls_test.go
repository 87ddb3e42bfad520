package clienttls

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	ca := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	for _, c := range []struct {
		ca, name, want string
	}{
		{ca, "example.com", ""},
		{ca, "other.example", "not other.example"},
		{"", "example.com", "unknown authority"},
	} {
		config, err := Config(c.ca, c.name)
		if err != nil {
			t.Fatal(err)
		}
		connection, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err == nil {
			_ = connection.Close()
		}
		if got := errorText(err); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%q, %q: %q, want %q", c.ca, c.name, got, c.want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for file, want := range map[string]string{
		filepath.Join(t.TempDir(), "none.pem"): "none.pem: no such file",
		write(t, "garbage"):                    "the file contains no certificate in PEM format",
	} {
		if _, err := Config(file, ""); !strings.Contains(errorText(err), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// write writes a file and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
