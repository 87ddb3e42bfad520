package instruments

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
)

// averages reads /proc/loadavg. gopsutil reads it too, but where the file is
// missing it asks sysinfo(2), which answers for the machine the agent runs on
// and not for the one at the host's root.
func (l *load) averages(_ context.Context, h *Host) (Load, error) {
	if l.file == nil {
		l.file = h.open("proc/loadavg")
	}
	text, err := l.file.read()
	if err != nil {
		return Load{}, err
	}
	r, err := parseLoad(text)
	if err != nil {
		return Load{}, fmt.Errorf("parse /proc/loadavg: %w", err)
	}
	return r, nil
}

// parseLoad reads the three averages of /proc/loadavg, proc_loadavg(5).
func parseLoad(text []byte) (Load, error) {
	var r Load
	for _, to := range []*float64{&r.One, &r.Five, &r.Fifteen} {
		var word []byte
		word, text, _ = bytes.Cut(text, []byte{' '})
		v, err := strconv.ParseFloat(string(word), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return Load{}, fmt.Errorf("%q is not a load average", word)
		}
		*to = v
	}
	return r, nil
}
