package instruments

import "time"

// exit is the end of a process as the kernel told it.
type exit struct {
	pid, parent int
	// comm is the kernel's name of it, that of its first thread where that was heard.
	comm string
	// lived is the time since it began, by the clock that stands still while the machine
	// sleeps.
	lived time.Duration
	// user and system are CPU time as /proc/stat counts it, in steps of the kernel's tick;
	// run is the sum of both as the scheduler measured it, less what it had not yet
	// added up when the process ended (a tick at most).
	user, system, run time.Duration
	// peak is the most resident memory in bytes that it had, 0 where that is not known.
	peak uint64
}

// exits is what was heard since the look before.
type exits struct {
	// heard is in the order of the ends. It is valid until the next look.
	heard []exit
	// on is set where ends are heard, reason says why not, "" where nothing is to be said.
	on     bool
	reason string
	// lost counts the times at which the kernel had no room for more, since the start.
	lost uint64
}
