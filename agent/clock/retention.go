package clock

import "time"

// settle is how long the agent must run with a clock ahead for anything to be deleted by it. The judge
// believes it much sooner, but what is deleted does not come back.
const settle = 24 * time.Hour

// trust is the time by which things are deleted.
type trust struct {
	// anchored is set once it is known where the time of earlier runs ended. Until then
	// nothing is deleted.
	anchored bool
	// offset is the newest difference of time and boot clock, seen when that showed boot.
	offset, boot time.Duration
}

// leap is a jump ahead that does not count yet.
type leap struct {
	By time.Duration `json:"by"`
	// Ran is how long the agent has run since, over restarts.
	Ran time.Duration `json:"ran"`
}

// Retention returns the time from which the age counts back at which something is
// deleted or dropped. It is that of [Judge.Now], but a jump ahead, such as a start after
// a pause, counts only when the agent has run for another day: keeping something for that
// long costs little. It is the Unix epoch while it is unknown when earlier runs were.
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
	leaps := j.state.Leaps
	for i := range leaps {
		leaps[i].Ran += boot - t.boot
	}
	for len(leaps) > 0 && leaps[0].Ran >= settle {
		leaps = leaps[1:]
	}
	ahead := offset - t.offset
	t.offset, t.boot = offset, boot
	if ahead > jump {
		if len(leaps) == maxKept {
			leaps[1].By += leaps[0].By
			leaps = leaps[1:]
		}
		leaps = append(leaps, leap{By: ahead})
	}
	for last := len(leaps) - 1; ahead < 0 && last >= 0; last-- { // What was set back counts no more.
		back := min(leaps[last].By, -ahead)
		leaps[last].By, ahead = leaps[last].By-back, ahead+back
		if leaps[last].By == 0 {
			leaps = leaps[:last]
		}
	}
	j.state.Leaps = leaps
	for _, l := range leaps {
		offset -= l.By
	}
	return at(boot, offset)
}

// anchor lets the trusted time go on from that of the previous run, if that is known.
func (j *Judge) anchor(boot time.Duration, sameBoot bool, alive time.Time) {
	j.trust = trust{anchored: true, offset: j.target + j.left(boot), boot: boot}
	switch {
	case sameBoot || j.options.File == "":
	case !alive.IsZero():
		j.trust.offset = time.Duration(alive.UnixNano()) - boot
	default:
		j.trust.anchored = false
	}
}

// anchorAt does so with the newest time that is stored, where the previous run is not
// known.
func (j *Judge) anchorAt(boot time.Duration, newest time.Time) {
	j.trust = trust{anchored: true, offset: j.target + j.left(boot), boot: boot}
	if !newest.IsZero() {
		j.trust.offset = min(j.trust.offset, time.Duration(newest.UnixNano())-boot)
	}
}
