package command

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// started are the programs that run. The kernel has one list of children for a process,
// so there is one here.
var started = struct { //nolint:gochecknoglobals // See above.
	sync.Mutex
	pids map[int]bool
}{pids: map[int]bool{}}

// runAndWait runs a program to its end. Its end is not Reap's.
func runAndWait(cmd *exec.Cmd) error {
	started.Lock()
	err := cmd.Start()
	if err == nil {
		started.pids[cmd.Process.Pid] = true
	}
	started.Unlock()
	if err != nil {
		return err
	}
	err = cmd.Wait()
	started.Lock()
	defer started.Unlock()
	delete(started.pids, cmd.Process.Pid)
	return err
}

// waitForOwn is how long Reap waits for a program of ours that has ended to be waited
// for: until then nothing behind it can be seen.
const waitForOwn = 10 * time.Millisecond

// Reap waits for every child that has ended and was not started here, until ctx ends: as
// process 1, of a container without an init, the agent gets what commands leave behind,
// and else it would stay as zombies. No other part of the process may start programs.
func Reap(ctx context.Context) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	defer signal.Stop(ended)
	for {
		var again <-chan time.Time
		if !reapOrphans() {
			again = time.After(waitForOwn)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
		case <-again:
		}
	}
}

// reapOrphans reports whether no child is left that has ended.
func reapOrphans() bool {
	started.Lock() // What is started meanwhile would not be known yet.
	defer started.Unlock()
	for {
		pid := endedChild()
		if pid == 0 {
			return true
		}
		if started.pids[pid] {
			return false
		}
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil && err != unix.EINTR { //nolint:errorlint // It is the kernel's.
			return true
		}
	}
}

// endedChild returns a child that has ended, and leaves it as it is; 0 if there is none.
func endedChild() int {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != nil {
		return 0 // There are no children.
	}
	// waitid(2) gives si_pid, which the type does not name: it is the first field of a
	// union, which is aligned as a pointer is.
	const head, align = 3 * unsafe.Sizeof(int32(0)), unsafe.Sizeof(uintptr(0))
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), (head+align-1)/align*align)))
}
