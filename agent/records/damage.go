package records

import (
	"strconv"

	"sysotel/agent/sqlite"
)

// AddDamage queues an event for damage to a file of the agent: what it was, where it is
// set aside, and the time that is lost with it.
func (r *Records) AddDamage(d sqlite.Damage) error {
	e := Event{Time: d.When, Kind: Damage, Subject: d.What, Detail: map[string]string{
		"path": d.Path, "set_aside": d.Aside, "saved": strconv.Itoa(d.Saved), "summary": d.String(),
	}}
	if d.Cause != nil {
		e.Cause = d.Cause.Error()
	}
	if n := len(d.Lost); n > 0 {
		e.From, e.To = d.Lost[0].From, d.Lost[n-1].To
	}
	return r.AddEvent(e)
}

// noteDamage keeps damage to the own file for the next Flush: it is found where an event
// cannot be queued.
func (r *Records) noteDamage(d sqlite.Damage) {
	r.damageMu.Lock()
	defer r.damageMu.Unlock()
	r.damages = append(r.damages, d)
}

// queueDamages makes events of what was noted.
func (r *Records) queueDamages() {
	r.damageMu.Lock()
	found := r.damages
	r.damages = nil
	r.damageMu.Unlock()
	for _, d := range found {
		_ = r.AddDamage(d) // It has a time and a known kind.
	}
}
