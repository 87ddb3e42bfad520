// Package clienttls configures TLS for connections that the agent opens.
package clienttls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"sysotel/agent/fresh"
)

// Config trusts the certificates in the PEM file ca, or the system's if ca is empty.
// The server's certificate must be for serverName; if that is empty, the library that
// connects sets it. Errors do not name the file unless it cannot be read.
func Config(ca, serverName string) (*tls.Config, error) {
	files, err := Open(ca, "", "", nil)
	if err != nil {
		return nil, err
	}
	config := files.Get().Clone()
	config.ServerName = serverName
	return config, nil
}

// Files is a configuration that follows its files.
type Files = fresh.Files[*tls.Config]

// Open is Config for files that may be replaced: each connection takes the configuration
// that Get then returns. With the files of a certificate and its key it presents that. See
// fresh.Open for note.
func Open(ca, cert, key string, note func(error)) (*Files, error) {
	var paths []string
	for _, path := range []string{ca, cert, key} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return fresh.Open(paths, func(contents [][]byte) (*tls.Config, error) {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if ca != "" {
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(contents[0]) {
				return nil, errNoCertificate
			}
			contents = contents[1:]
		}
		if cert != "" {
			pair, err := tls.X509KeyPair(contents[0], contents[1])
			if err != nil {
				return nil, fmt.Errorf("the certificate %s with the key %s: %w", cert, key, err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		return config, nil
	}, note)
}

var errNoCertificate = errors.New("the file contains no certificate in PEM format")
