package notify

import (
	"context"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"
)

// domainPattern matches a full name: labels of letters, digits and hyphens with a dot
// between them (RFC 5321, section 4.1.2).
var domainPattern = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

func isDomain(s string) bool { return len(s) <= 255 && domainPattern.MatchString(s) }

// isGreeting reports whether s can follow EHLO: a full name or an address literal (RFC
// 5321, section 4.1.3).
func isGreeting(s string) bool {
	text, bracket := strings.CutPrefix(s, "[")
	text, end := strings.CutSuffix(text, "]")
	if !bracket || !end {
		return isDomain(s)
	}
	v6, is6 := strings.CutPrefix(text, "IPv6:")
	address, err := netip.ParseAddr(v6)
	return err == nil && address.Zone() == "" && address.Is6() == is6
}

// lookupTimeout bounds the search for the machine's name.
const lookupTimeout = 2 * time.Second

// greeting is how this machine introduces itself to a mail server. Many reject a short
// name: host if that is a full name, else the full name of the machine, else the
// address from which the server is reached.
func greeting(ctx context.Context, host, server string) string {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if isDomain(host) {
		return host
	}
	if name := fullName(ctx); name != "" {
		return name
	}
	// Sends nothing, but chooses the address.
	c, err := new(net.Dialer).DialContext(ctx, "udp", server)
	if err != nil {
		return "[127.0.0.1]" // The mail will fail for the same reason.
	}
	defer func() { _ = c.Close() }()
	return literal(c.LocalAddr())
}

// literal is an address as it follows EHLO.
func literal(address net.Addr) string {
	port, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return "[127.0.0.1]"
	}
	ip := port.Addr().Unmap().WithZone("")
	if ip.Is6() {
		return "[IPv6:" + ip.String() + "]"
	}
	return "[" + ip.String() + "]"
}

// fullName is the full name of the machine, as /etc/hosts or DNS has it; "" if there is
// none.
func fullName(ctx context.Context) string {
	short, err := os.Hostname()
	if err != nil {
		return ""
	}
	name, err := net.DefaultResolver.LookupCNAME(ctx, short)
	for _, one := range []string{short, strings.TrimSuffix(name, ".")} {
		if isDomain(one) && !strings.HasSuffix(one, ".localdomain") && (one == short || err == nil) {
			return one
		}
	}
	return ""
}
