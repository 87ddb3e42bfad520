package instruments

import "time"

// FilesystemTotal sums up the file systems of the machine itself: those on its
// own disks, and whatever is mounted at "/". Files that a server or a program
// keeps are space of other machines and would be counted on every machine that
// mounts them. What is a part of the space of another one that counts (an overlay's
// upper directory, the image behind a loop device, a snapshot) is counted there.
type FilesystemTotal struct {
	// Size, Used and Free are in bytes and as in Mount.
	Size, Used, Free uint64
	// Utilization is Used over Used and Free.
	Utilization float64
}

// total sums up what is counted, nil if there is nothing to count, or one that had
// numbers before has none for less than sumWaits. The free space of the file systems
// of one pool is the same space and is counted once.
func (f *filesystem) total(mounts []Mount, now time.Time) *FilesystemTotal {
	clear(f.pools)
	var t FilesystemTotal
	found, waits, beyond := false, false, false
	for i, m := range f.mounts {
		one := &mounts[i]
		switch {
		case !m.counted || m.carried(mounts):
			continue
		case !one.Measured && (m.known || one.failed || one.Stuck):
			if m.outage.fails(now) {
				one.Reason += leftOut
			} else {
				waits = true
			}
			continue
		case !one.Measured:
			continue
		case m.share >= 0:
			t.Size += one.Used
			f.pools[m.share] = max(f.pools[m.share], one.Free)
		default:
			t.Size += one.Size
			t.Free += one.Free
		}
		t.Used += one.Used
		m.known, found = true, true
		m.outage.ends()
		beyond = beyond || t.Size >= noNumber
	}
	if !found || waits || beyond {
		return nil
	}
	for _, free := range f.pools {
		t.Size += free
		t.Free += free
	}
	t.Utilization = share(t.Used, t.Free)
	return &t
}

// carried reports whether what m stands on is counted and has numbers.
func (m *mount) carried(mounts []Mount) bool {
	for under := m.carrier; under != nil; under = under.carrier {
		if under.counted && mounts[under.at].Measured {
			return true
		}
	}
	return false
}

// share is df's Use%: used over used and free, because what is reserved
// for root is not available to users (giampaolo/psutil#829).
func share(used, free uint64) float64 { return ratio(float64(used), float64(used)+float64(free)) }
