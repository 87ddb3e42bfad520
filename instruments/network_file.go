package instruments

import "errors"

// networkFile is a file below /proc/PID/net, which shows the network namespace
// of that process.
type networkFile struct{ first, own *file }

// read returns the file as the machine's first process sees it. Where /proc hides
// that process (hidepid), the agent's own is as good, but only in the same namespace.
func (f *networkFile) read(h *Host, name string) ([]byte, error) {
	if f.first == nil {
		own := "proc/net/"
		if h.pidsOnly { // Then there is no such link.
			own = "proc/self/net/"
		}
		f.first, f.own = h.open("proc/1/net/"+name), h.open(own+name)
	}
	text, err := f.first.read()
	if err != nil && h.ownNetwork {
		var ownErr error
		if text, ownErr = f.own.read(); ownErr == nil {
			return text, nil
		}
		err = errors.Join(err, ownErr)
	}
	return text, err
}

// hexDigit is the value of a digit of the kernel's hexadecimal numbers.
func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
