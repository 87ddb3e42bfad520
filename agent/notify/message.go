package notify

import (
	"context"
	"time"
)

// message is a batch of notices for one channel: only active alerts, or only
// resolved ones.
type message struct {
	// id is the same on each attempt.
	id      string
	notices []Notice
	test    bool
}

// sender sends a message to one receiver. It is safe for concurrent use and stops
// when ctx is done.
type sender interface {
	send(ctx context.Context, m message) error
}

// immediateSender is implemented by senders to which group_wait and max_per_hour do
// not apply.
type immediateSender interface{ immediate() }

// refusal is the error of a receiver that responded. Other errors mean that it was
// not reached.
type refusal struct {
	err error
	// after is the pause that the receiver asks for, 0 for none.
	after time.Duration
	// final means that another attempt is unlikely to succeed.
	final bool
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// resolved reports whether a notice is about an alert that ended.
func (n Notice) resolved() bool { return n.State == Resolved || !n.Ended.IsZero() }

// resolved reports whether a message is about alerts that ended.
func (m message) resolved() bool { return len(m.notices) > 0 && m.notices[0].resolved() }

// maxListed is how many notices a message shows in full; the others are counted.
const maxListed = 10

// maxBatch is the maximum number of notices in one message.
const maxBatch = 1000

// listed returns the notices to show in full and the number of the others.
func (m message) listed() ([]Notice, int) {
	n := min(len(m.notices), maxListed)
	return m.notices[:n], len(m.notices) - n
}

// choose returns the waiting notices for the next message: all that are resolved,
// or all that are not, as the oldest is; except those about an alert for which an
// older notice of the other kind waits, so that no recovery overtakes its alert.
func choose(rows []waiting) (chosen []waiting) {
	held := map[string]bool{}
	for _, w := range rows {
		if w.notice.resolved() != rows[0].notice.resolved() {
			held[w.notice.Fingerprint] = true
		} else if !held[w.notice.Fingerprint] && len(chosen) < maxBatch {
			chosen = append(chosen, w)
		}
	}
	return chosen
}

// testMessage is a message that tests a channel.
func testMessage(host string, now time.Time) message {
	return message{
		id:   "test-" + now.UTC().Format("20060102T150405.000000000"),
		test: true,
		notices: []Notice{{
			ID: "test", Fingerprint: "test", Rule: "test message", Host: host, State: Resolved, Severity: "info",
			Summary: "This is a test message; nothing is wrong.", Since: now, At: now, Ended: now,
		}},
	}
}
