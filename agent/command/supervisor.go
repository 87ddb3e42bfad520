package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// supervisor is who started the agent and asked, with NOTIFY_SOCKET, to be notified:
// systemd, as sd_notify(3) describes. Without one everything here does nothing.
type supervisor struct {
	agent interface {
		// Tick is the number of the newest complete tick.
		Tick() uint64
		// Summary is the status of the agent, in a line.
		Summary() string
	}
	// stuck is how long no tick may be complete.
	stuck time.Duration
	// every is the time between two signs of life, watched whether it expects them.
	every   time.Duration
	watched bool

	tick uint64
	at   time.Time
}

// statusTime is the time between two status lines where there is no watchdog.
const statusTime = 30 * time.Second

// newSupervisor returns the supervisor of an agent with a sampling interval.
func newSupervisor(agent interface {
	Tick() uint64
	Summary() string
}, interval time.Duration,
) *supervisor {
	s := &supervisor{agent: agent, stuck: 30*time.Second + 2*interval, every: statusTime, at: time.Now()}
	// An error is a limit that is no number: then there is no watchdog.
	if limit, err := daemon.SdWatchdogEnabled(false); err == nil && limit > 0 {
		s.every, s.watched = min(limit/3, statusTime), true
	}
	return s
}

// ready notifies it that the agent has started or reloaded its configuration.
func (s *supervisor) ready() { s.notify(daemon.SdNotifyReady, s.status()) }

// reloading notifies it that a reload begins, which ends with ready.
func (s *supervisor) reloading() {
	s.notify(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
}

// stopping notifies it that the agent ends.
func (s *supervisor) stopping() { s.notify(daemon.SdNotifyStopping) }

// signs delivers when the next sign of life is due.
func (s *supervisor) signs() *time.Ticker { return time.NewTicker(s.every) }

// sign notifies it of the agent's status, and that it lives: that it completes ticks.
func (s *supervisor) sign() {
	if tick := s.agent.Tick(); tick != s.tick {
		s.tick, s.at = tick, time.Now()
	}
	said := []string{s.status()}
	if s.watched && time.Since(s.at) < s.stuck {
		said = append(said, daemon.SdNotifyWatchdog)
	}
	s.notify(said...)
}

// status is the status line.
func (s *supervisor) status() string {
	return fmt.Sprintf("STATUS=%.200s", strings.Join(strings.Fields(s.agent.Summary()), " "))
}

// notify sends assignments. Nobody needs to know that nobody listens.
func (*supervisor) notify(said ...string) {
	_, _ = daemon.SdNotify(false, strings.Join(said, "\n"))
}
