#!/bin/bash
# otlpmetricgrpc: WithInsecure() is undone by a certificate in the environment.
#
# Version:  go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc v1.47.0.
# Expected: an option in code takes precedence over the environment, as WithEndpoint does over
#           OTEL_EXPORTER_OTLP_ENDPOINT; so WithInsecure() speaks plain HTTP/2 whatever is set.
# Observed: with OTEL_EXPORTER_OTLP_CERTIFICATE set, say for the traces of the same process, the
#           metrics exporter sends a TLS client hello to its plaintext collector.
# Output:   certificate unset: HTTP/2 preface
#           certificate set: TLS client hello
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require (
	go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc v1.47.0
	go.opentelemetry.io/otel/sdk/metric v1.47.0
)
E
cat > main.go <<'E'
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// dialled says what an exporter WithInsecure sends first.
func dialled() string {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	exporter := must(otlpmetricgrpc.New(ctx,
		otlpmetricgrpc.WithEndpoint(listener.Addr().String()), otlpmetricgrpc.WithInsecure()))
	go exporter.Export(ctx, &metricdata.ResourceMetrics{})
	conn := must(listener.Accept())
	defer conn.Close()
	first := make([]byte, 3)
	must(io.ReadFull(conn, first))
	switch string(first) {
	case "PRI":
		return "HTTP/2 preface"
	case "\x16\x03\x01":
		return "TLS client hello"
	}
	return fmt.Sprintf("%q", first)
}

func main() {
	fmt.Println("certificate unset:", dialled())
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key))
	file := must(os.Create("ca.pem"))
	must(0, pem.Encode(file, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	must(0, file.Close())
	must(0, os.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", file.Name()))
	fmt.Println("certificate set:", dialled())
}
E
unset "${!OTEL_@}"
output=$(GOFLAGS=-mod=mod go run .)
observed='certificate unset: HTTP/2 preface
certificate set: TLS client hello'
echo 'version:  go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc v1.47.0'
echo 'expected: WithInsecure() takes precedence over OTEL_EXPORTER_OTLP_CERTIFICATE'
echo 'observed: the exporter speaks TLS'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
