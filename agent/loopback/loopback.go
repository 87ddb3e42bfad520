// Package loopback decides whether an address can be reached from this machine
// only.
package loopback

import (
	"net"
	"net/netip"
)

// Host reports whether a host is this machine: localhost or a loopback address. No
// name server is asked: another name may mean another machine tomorrow.
func Host(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Address is Host for HOST:PORT; a malformed address is not loopback.
func Address(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && Host(host)
}
