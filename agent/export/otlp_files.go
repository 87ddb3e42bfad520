package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"sysotel/agent/clienttls"
	"sysotel/agent/fresh"
	"sysotel/agent/secret"
)

// header is a header of every request, whose value may be in a file.
type header struct {
	name  string
	value *fresh.Files[string]
}

// openHeaders reads the headers for the first time.
func openHeaders(from map[string]secret.Text, log *slog.Logger) ([]header, error) {
	var headers []header
	for _, name := range slices.Sorted(maps.Keys(from)) {
		value, err := from[name].Open(checkHeaderValue, noteFiles(log, "otlp.headers."+name))
		if err != nil {
			return nil, fmt.Errorf("otlp.headers.%s: %w", name, err)
		}
		headers = append(headers, header{name, value})
	}
	return headers, nil
}

// checkHeaderValue returns an error if gRPC does not accept a value.
func checkHeaderValue(value string) error {
	if !isHeaderValue(value) {
		return errHeaderValue
	}
	return nil
}

var errHeaderValue = errors.New("the value of a header is of printable ASCII characters")

// noteFiles logs that changed files are in use, or cannot be used.
func noteFiles(log *slog.Logger, option string) func(error) {
	return func(err error) {
		if err != nil {
			log.Warn("cannot use the changed files; the previous ones stay in use", "option", option, "err", err)
			return
		}
		log.Info("changed files are in use", "option", option)
	}
}

// outgoing adds the headers to a request.
func (o *otlp) outgoing(ctx context.Context) context.Context {
	headers := metadata.MD{}
	for _, h := range o.headers {
		headers.Set(h.name, h.value.Get())
	}
	return metadata.NewOutgoingContext(ctx, headers)
}

// unusable says which changed files cannot be used, and since when; "" if all can.
func (o *otlp) unusable() (reason string, since time.Time) {
	for _, h := range o.headers {
		if at, err := h.value.Broken(); err != nil {
			return fmt.Sprintf("otlp.headers.%s: %v", h.name, err), at
		}
	}
	if o.security != nil {
		if at, err := o.security.Broken(); err != nil {
			return fmt.Sprintf("otlp.tls: %v", err), at
		}
	}
	return "", time.Time{}
}

// replaceable are TLS credentials that follow their files: each connection is made with
// the newest.
type replaceable struct {
	credentials.TransportCredentials // For what is not in the files.

	config TLSConfig
	files  *clienttls.Files
}

// newReplaceable makes the credentials of the push.
func newReplaceable(c TLSConfig, files *clienttls.Files) replaceable {
	r := replaceable{config: c, files: files}
	r.TransportCredentials = r.newest()
	return r
}

// newest are credentials of the files as they are now.
func (r replaceable) newest() credentials.TransportCredentials {
	config := r.files.Get().Clone()
	config.ServerName, config.InsecureSkipVerify = r.config.ServerName, r.config.InsecureSkipVerify
	return credentials.NewTLS(config)
}

// ClientHandshake implements credentials.TransportCredentials.
func (r replaceable) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return r.newest().ClientHandshake(ctx, authority, conn)
}

// Clone implements credentials.TransportCredentials.
func (r replaceable) Clone() credentials.TransportCredentials {
	return newReplaceable(r.config, r.files)
}
