//go:build !linux

package instruments

import "context"

// Read implements Collector: only Linux has /proc/meminfo.
func (meminfoFamily) Read(context.Context, *Host, Tick) (Reading, error) {
	return nil, ErrUnsupported
}
