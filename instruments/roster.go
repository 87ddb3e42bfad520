package instruments

import (
	"cmp"
	"math"
	"slices"
)

// roster decides which things of one kind (programs, network interfaces, block devices,
// mounts) have series of their own. Names come from outside and may be made up by the
// thousand, and each is a dozen series of the history for days. What has none is added up
// as one more thing, named otherNames, so that sums stay true:
//
//   - A gauge is in one of the two at each tick.
//   - A counter of a name never falls or jumps when the name is given or taken back: what
//     a thing does up to the tick at which it gets a name, and from the tick at which it
//     loses it, is in the counter of the others. A new series begins with where its
//     counter stands, and readers take that first point as the beginning; so whatever is
//     done between two ticks is in the increase of exactly one series, and the sum of the
//     rates is exact at every tick.
//   - The rate of a sum is not: a series that ends takes its counter out of the sum. Only a
//     jump of the others' counter could hide that, and their rate would be wrong then.
//
// There is room for so many names at one time. What was there at the first looks after the
// start gets one at once, what uses most first; so does what had one before. What is new
// needs one from a stock that fills slowly, and the less is left, the longer it must stay or
// the more it must use. When all are given, what is gone loses its name first,
// and then what uses least, if what needs it uses far more.
type roster struct {
	// most is how many names there are, minLooks how often something that is new must
	// have been seen to get one.
	most, minLooks int
	// forgotten, where set, is told of a name that lost its series so long ago that it is
	// not remembered any more.
	forgotten func(name string)

	// members are those to choose from, filled in for each look.
	members []*member
	named   int
	// stock is how many new names may be given now.
	stock float64
	looks uint64
	// left are names that were taken back, and at which look.
	left map[string]uint64
}

// member is one thing of a roster.
type member struct {
	name string
	// named is set while it has a name, was if it had one at the look before too.
	named, was bool
	// known is set if it had a name before.
	known bool
	// looks counts those at which it was there, idle those since it was; ran is for how many
	// seconds it was there.
	looks, idle int
	ran         float64
	// use is the share of the machine that it uses, as a mean over about a minute.
	use float64
}

const (
	// otherNames is the name of the rest.
	otherNames = "others"
	// defaultNames is how many things of a kind have a name by default, defaultPrograms how
	// many programs; leastNames and mostNames are the bounds of that. In a day, longer
	// than any tier keeps its newest readings in memory, mostNames and the stock and what
	// fills it are 2,000 names.
	defaultNames    = 100
	defaultPrograms = 150
	leastNames      = 10
	mostNames       = 280
	// namesPerMinute is how many names are new in the long run.
	namesPerMinute = 1
	// lookedAtFirst is the number of looks after the start of which nothing counts as new.
	lookedAtFirst = 5
	// While less than half of the stock is left, something new gets a name only if it was
	// there for longSeconds in all, and while less than a quarter is left, only if it used the
	// share heavy of the machine.
	longSeconds = 60
	heavy       = 0.01
	// maxRemembered bounds the names that are remembered after they were taken back. The
	// one that is longest out of use is forgotten.
	maxRemembered = 2000
)

// limit is how many names may be in use; it is halved so many times where memory is short.
func (r *roster) limit(halved int) int { return min(r.most, max(r.most>>min(halved, 30), leastNames)) }

// begin begins a look.
func (r *roster) begin() { r.members = r.members[:0] }

// see takes a thing into the look: whether it is there, and which share of the machine it
// has used in the seconds since the look before.
func (r *roster) see(m *member, there bool, share, seconds float64) {
	if math.IsNaN(share) {
		share = 0
	}
	if r.looks == 0 || m.looks == 0 && r.minLooks == 0 {
		m.use = share // Nothing is known of the time before.
	} else {
		kept := math.Exp(-seconds / 60)
		m.use = kept*m.use + (1-kept)*share
	}
	if there {
		if m.looks == 0 {
			_, m.known = r.left[m.name]
		}
		m.looks++
		m.idle = 0
		m.ran += seconds
	} else {
		m.idle++
	}
	r.members = append(r.members, m)
}

// choose gives names and takes them back, after everything was seen. It returns how many
// things that are there have none.
func (r *roster) choose(seconds float64, halved int) (folded int) {
	r.most = cmp.Or(r.most, defaultNames)
	if r.looks == 0 {
		r.stock = float64(r.most)
	}
	r.stock = min(r.stock+seconds*namesPerMinute/60, float64(r.most))
	most := r.limit(halved)
	var waiting []*member
	for _, m := range r.members {
		m.was = m.named
		if !m.named && m.idle == 0 && m.name != otherNames && (m.known || r.deserves(m)) {
			waiting = append(waiting, m)
		}
	}
	for least := r.least(); r.named > most && least != nil; least = r.least() {
		r.release(least)
	}
	slices.SortStableFunc(waiting, func(a, b *member) int { return cmp.Compare(b.use, a.use) })
	for _, m := range waiting {
		if m.named || !m.known && r.stock < 1 {
			continue // It is there twice, or too late.
		}
		if r.named >= most && !r.makeRoom(m) {
			break // The others use less.
		}
		if !m.known {
			r.stock--
		}
		delete(r.left, m.name)
		m.named, m.known = true, true
		r.named++
	}
	r.looks++
	for _, m := range r.members {
		if m.idle == 0 && !m.named {
			folded++
		}
	}
	return folded
}

// deserves reports whether a thing may get a name that it never had.
func (r *roster) deserves(m *member) bool {
	switch {
	case r.stock < 1:
		return false
	case r.looks < lookedAtFirst:
		return true
	case m.looks <= r.minLooks:
		return false
	case r.stock > float64(r.most)/2:
		return true
	}
	return m.use >= heavy || m.ran >= longSeconds && r.stock > float64(r.most)/4
}

// makeRoom takes a name back for what needs it.
func (r *roster) makeRoom(need *member) bool {
	least := r.least()
	if least == nil || least.idle == 0 && need.use < 2*least.use+heavy {
		return false
	}
	r.release(least)
	return true
}

// least is the one to lose its name first: that is gone for longest, else that uses least.
func (r *roster) least() *member {
	var least *member
	for _, m := range r.members {
		if m.named && (least == nil || m.idle > least.idle || m.idle == least.idle && m.use < least.use) {
			least = m
		}
	}
	return least
}

// release takes a name back. A thing that is gone for good gives its name up by it.
func (r *roster) release(m *member) {
	if !m.named {
		return
	}
	m.named = false
	r.named--
	if r.left == nil {
		r.left = map[string]uint64{}
	}
	r.left[m.name] = r.looks
	if len(r.left) <= maxRemembered {
		return
	}
	oldest := m.name
	for name, look := range r.left {
		if o := r.left[oldest]; look < o || look == o && name < oldest {
			oldest = name
		}
	}
	delete(r.left, oldest)
	if r.forgotten != nil {
		r.forgotten(oldest)
	}
}
