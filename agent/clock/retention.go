package clock

import "time"

// settle is how long a clock must stay ahead for anything to be deleted by it. The judge
// believes it much sooner, but what is deleted does not come back.
const settle = 24 * time.Hour

// trust is the time by which things are deleted.
type trust struct {
	// anchored is set once it is known where the time of earlier runs ended. Until then
	// nothing is deleted.
	anchored bool
	// offset is the difference of the trusted time and the boot clock.
	offset time.Duration
	// next is a larger one that was first seen at since, by the boot clock, while settling.
	settling    bool
	next, since time.Duration
}

// Retention returns the time from which the age counts back at which something is
// deleted or dropped. It is that of [Judge.Now], but a jump ahead, such as a start after
// a pause, counts only after a day: keeping something for another day costs little. It
// is the Unix epoch while it is unknown when earlier runs were.
func (j *Judge) Retention() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.trusted(j.options.Boot())
}

// trusted is Retention with j.mu held.
func (j *Judge) trusted(boot time.Duration) time.Time {
	t, offset := &j.trust, j.target+j.left(boot)
	if !t.anchored {
		return time.Unix(0, 0)
	}
	switch {
	case offset <= t.offset+jump:
		t.offset, t.settling = offset, false
	case !t.settling || (offset-t.next).Abs() > jump:
		t.settling, t.next, t.since = true, offset, boot
	case boot-t.since >= settle:
		t.offset, t.settling = offset, false
	}
	return at(boot, min(t.offset, offset))
}

// anchor lets the trusted time go on from that of the previous run, if that is known.
func (j *Judge) anchor(boot time.Duration, sameBoot bool, alive time.Time) {
	offset := j.target + j.left(boot)
	switch {
	case sameBoot:
		j.trust = trust{anchored: true, offset: offset - j.state.Lag}
	case !alive.IsZero():
		j.trust = trust{anchored: true, offset: time.Duration(alive.UnixNano()) - j.state.Lag - boot}
	case j.options.File == "":
		j.trust = trust{anchored: true, offset: offset}
	}
}

// anchorAt does so with the newest time that is stored, where the previous run is not
// known.
func (j *Judge) anchorAt(boot time.Duration, newest time.Time) {
	offset := j.target + j.left(boot)
	if !newest.IsZero() {
		offset = min(offset, time.Duration(newest.UnixNano())-boot)
	}
	if !j.trust.anchored {
		j.trust = trust{anchored: true, offset: offset}
	}
	j.trust.offset = min(j.trust.offset, offset)
}
