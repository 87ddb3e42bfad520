//go:build !linux

package instruments

import "context"

// stalls has nothing to read: only Linux measures pressure.
func (*pressure) stalls(context.Context, *Host, *misread) ([]resourceStalls, error) {
	return nil, ErrUnsupported
}
