package instruments

import "time"

// outage is how long a member of a sum has had no number: a disk, an interface, a
// file system.
//
// The sum waits for it, because without it a chart would show a dip that never was.
// It does not wait for ever: what is broken for good would hide all the others.
// After sumWaits the sum goes on without the member, whose reason in /health then
// ends in leftOut, and takes it in again as soon as it has a number.
type outage struct{ began time.Time }

// sumWaits is for how long a sum is unknown because a member is, by the running
// clock: suspended machines do not wait.
const sumWaits = time.Minute

// leftOut is added to the reason why a member has no number once sums go on without it.
const leftOut = "; totals go on without it"

// lacksRate is the reason of a disk or an interface.
const lacksRate = "has lacked a rate for a minute"

// fails notes that the member has no number at the time now, and reports whether
// the sum goes on without it.
func (o *outage) fails(now time.Time) (gone bool) {
	if o.began.IsZero() {
		o.began = now
	}
	return now.Sub(o.began) >= sumWaits
}

// ends notes that the member has a number.
func (o *outage) ends() { o.began = time.Time{} }
