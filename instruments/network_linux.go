package instruments

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	"sysotel/instruments/sanitize"
)

// networkSource is /proc/1/net/dev. /proc/net is a link to the reading process, in
// a container with a network of its own the wrong one (prometheus/node_exporter#2007).
// gopsutil can be given the file, but opens it anew each time, which takes twice as
// long and five allocations for each interface (BenchmarkNetworkGopsutil).
type networkSource struct {
	dev networkFile
	// newest is that of the line that is visited.
	newest interfaceCounters
}

// each calls visit for every line that names an interface; the name is valid during the
// call only. What cannot be read is unknown by itself, and named in bad; only a file
// without a good line is an error.
func (s *networkSource) each(_ context.Context, h *Host, bad *misread, visit func(name []byte, c *interfaceCounters)) error {
	text, err := s.dev.read(h, "dev")
	if err != nil {
		return err
	}
	good := false
	var wrong error
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, c, err := parseNetDev(line)
		switch {
		case err == nil:
		case name == nil:
			wrong = cmp.Or(wrong, err)
			bad.note("/proc/net/dev", err.Error())
		default:
			wrong = cmp.Or(wrong, err)
			bad.note("/proc/net/dev: "+sanitize.EscapeControl(string(name)), err.Error())
		}
		if name != nil {
			good = good || isCount(c.receive.bytes) || isCount(c.transmit.bytes)
			s.newest = c
			visit(name, &s.newest)
		}
	}
	if !good && wrong != nil {
		return fmt.Errorf("parse /proc/net/dev: %w", wrong)
	}
	return nil
}

// parseNetDev reads one line of /proc/net/dev, proc_pid_net(5). The name is nil
// for the two lines of titles. The numbers can follow the colon without a space,
// and an alias of old has a colon in its name, so the last one counts. A number that
// cannot be read is unknownCount, and the error says of the first why.
func parseNetDev(line []byte) (name []byte, c interfaceCounters, err error) {
	colon := bytes.LastIndexByte(line, ':')
	if colon < 0 {
		if len(line) > 0 && bytes.IndexByte(line, '|') < 0 {
			return nil, c, fmt.Errorf("line %s has no colon after a name", quoted(line))
		}
		return nil, c, nil
	}
	name = bytes.TrimLeft(line[:colon], " ")
	if len(name) == 0 {
		return nil, c, fmt.Errorf("line %s has no name before the colon", quoted(line))
	}
	rest := line[colon+1:]
	for i, to := range [...]*uint64{
		&c.receive.bytes, &c.receive.packets, &c.receive.errors, &c.receive.dropped, nil, nil, nil, nil,
		&c.transmit.bytes, &c.transmit.packets, &c.transmit.errors, &c.transmit.dropped,
	} {
		var word []byte
		word, rest = cutWord(rest)
		if to == nil {
			continue
		}
		n, ok := parseUint(word)
		if *to = n; !ok || !isCount(n) {
			*to = unknownCount
			if err == nil {
				err = fmt.Errorf("column %d: %s", i+1, notNumber(word))
			}
		}
	}
	return name, c, err
}
