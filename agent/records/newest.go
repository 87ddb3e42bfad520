package records

import "time"

// Newest is the newest tick that is in the records; the zero time where there is
// none. After Open it is the last sign of life of the agent before.
func (r *Records) Newest() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest == 0 {
		return time.Time{}
	}
	return time.UnixMilli(r.newest)
}
