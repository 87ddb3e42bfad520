package instruments

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"sysotel/instruments/sanitize"
)

// ARP is a reading of the neighbours on IPv4 networks.
type ARP struct {
	misread

	// Entries are by interface, in alphabetical order.
	Entries []ARPEntries
}

// ARPEntries is how many neighbours the kernel knows on an interface.
type ARPEntries struct {
	Device string
	Count  uint64
}

var arpEntries = &Metric{
	Name: "sysotel.arp.entries", Unit: "{entry}", Kind: Gauge, Integer: true, Keys: []Key{interfaceKey},
	Help: "Neighbours on IPv4 networks that the kernel knows on each interface, read every 10 s.", Source: "/proc/1/net/arp",
}

// maxARPDevices bounds the interfaces.
const maxARPDevices = 1000

// arp reads the neighbours.
type arp struct {
	file   networkFile
	slow   slowLane
	newest *ARP
}

func newARP() Collector { return &arp{} }

func (*arp) Name() string { return "arp" }

func (*arp) Metrics() []*Metric { return []*Metric{arpEntries} }

func (a *arp) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	if a.newest != nil && !a.slow.due(h.Now()) {
		return a.newest, nil
	}
	a.slow.due(h.Now())
	a.newest = nil
	text, err := a.file.read(h, "arp")
	if errors.Is(err, fs.ErrNotExist) && !h.pidsOnly {
		return nil, ErrUnsupported // A kernel without IPv4.
	}
	if err != nil {
		return nil, err
	}
	a.newest = parseARP(text)
	return a.newest, nil
}

// parseARP counts the lines of /proc/net/arp by their last word, the interface: a line of
// titles, then address, kind, flags, address of the hardware, mask and interface.
func parseARP(text []byte) *ARP {
	r := &ARP{}
	counts := map[string]uint64{}
	_, text, _ = bytes.Cut(text, []byte{'\n'})
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		var word, device []byte
		words := 0
		for rest := line; ; words++ {
			if word, rest = cutWord(rest); len(word) == 0 {
				break
			}
			device = word
		}
		switch {
		case words == 0:
		case words != 6:
			r.note("/proc/net/arp", "line "+quoted(line)+" has not six words")
		case len(counts) >= maxARPDevices && counts[string(device)] == 0:
			r.note("/proc/net/arp", "has more interfaces than are counted")
		default:
			counts[string(device)]++
		}
	}
	for _, device := range slices.Sorted(maps.Keys(counts)) {
		r.Entries = append(r.Entries, ARPEntries{sanitize.EscapeControl(device), counts[device]})
	}
	return r
}

// Report implements Reading.
func (a *ARP) Report(o *Observer) {
	for i := range a.Entries {
		o.Uint(arpEntries, a.Entries[i].Count, a.Entries[i].Device)
	}
}
