// Package clienttls configures TLS for connections that the agent opens.
package clienttls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Config trusts the certificates in the PEM file ca, or the system's if ca is empty.
// The server's certificate must be for serverName; if that is empty, the library that
// connects sets it. Errors do not name the file unless it cannot be read.
func Config(ca, serverName string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	if ca == "" {
		return config, nil
	}
	content, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificates: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(content) {
		return nil, errors.New("the file contains no certificate in PEM format")
	}
	return config, nil
}
