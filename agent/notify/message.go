package notify

import (
	"context"
	"time"
)

// message is what goes to a channel at once: notices of one kind, bad news or
// good news.
type message struct {
	// id is the same when a message is tried again.
	id      string
	notices []Notice
	test    bool
}

// sender brings a message to one receiver. It may be called from several
// goroutines at once, and gives up when ctx is done.
type sender interface {
	send(ctx context.Context, m message) error
}

// refusal is the error of a receiver that answered. Other errors are of the way
// to it.
type refusal struct {
	err error
	// after is how long the receiver wants not to be asked, 0 where it said nothing.
	after time.Duration
	// final is what will not be better the next time.
	final bool
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// over tells whether a notice is good news.
func (n Notice) over() bool { return n.State == Resolved || !n.Ended.IsZero() }

// over tells whether a message is good news.
func (m message) over() bool { return len(m.notices) > 0 && m.notices[0].over() }

// maxListed is how many notices a message for people lists; the others are
// counted.
const maxListed = 10

// maxTogether is how many notices go into one message at all.
const maxTogether = 1000

// listed returns the notices that are told in full, and how many are not.
func (m message) listed() ([]Notice, int) {
	n := min(len(m.notices), maxListed)
	return m.notices[:n], len(m.notices) - n
}

// choose returns those of the waiting notices that go into the next message: all
// of the kind of the oldest, except what is about an alert of which older news
// of the other kind waits. So no recovery overtakes its alert.
func choose(rows []waiting) (chosen []waiting) {
	held := map[string]bool{}
	for _, w := range rows {
		if w.notice.over() != rows[0].notice.over() {
			held[w.notice.Fingerprint] = true
		} else if !held[w.notice.Fingerprint] && len(chosen) < maxTogether {
			chosen = append(chosen, w)
		}
	}
	return chosen
}

// testMessage tries a channel.
func testMessage(host string, now time.Time) message {
	return message{
		id:   "test-" + now.UTC().Format("20060102T150405.000000000"),
		test: true,
		notices: []Notice{{
			ID: "test", Fingerprint: "test", Rule: "test message", Host: host, State: Resolved, Severity: "info",
			Summary: "This message tries the channel; nothing is wrong.", Since: now, At: now, Ended: now,
		}},
	}
}
