package loopback

import "testing"

func TestHost(t *testing.T) {
	f := func(host string, want bool) {
		t.Helper()
		if got := Host(host); got != want {
			t.Errorf("Host(%q) = %t", host, got)
		}
	}
	f("localhost", true)
	f("127.0.0.1", true)
	f("127.9.9.9", true)
	f("::1", true)
	f("::ffff:127.0.0.1", true)
	f("", false)
	f("0.0.0.0", false)
	f("::", false)
	f("192.0.2.1", false)
	f("localhost.example", false)
}

func TestAddress(t *testing.T) {
	f := func(address string, want bool) {
		t.Helper()
		if got := Address(address); got != want {
			t.Errorf("Address(%q) = %t", address, got)
		}
	}
	f("127.0.0.1:8080", true)
	f("[::1]:8080", true)
	f("localhost:0", true)
	f(":8080", false)
	f("[::]:8080", false)
	f("127.0.0.1", false)
}
