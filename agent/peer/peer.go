// Package peer returns which user holds the other end of a TCP connection on this
// machine. The kernel knows; the connection itself does not say.
package peer

import "errors"

// ErrUnknown means that the kernel cannot be asked, or that its answer does not name
// one living owner. Then nobody may be given more than a stranger.
var ErrUnknown = errors.New("who holds the other end of the connection cannot be told")
