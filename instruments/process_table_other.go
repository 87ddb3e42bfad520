//go:build !linux && !windows

package instruments

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"time"

	"github.com/shirou/gopsutil/v3/mem"
	gopsutilprocess "github.com/shirou/gopsutil/v3/process"
)

// cpuTicks is the number of units in a second of processEntry.user and .system.
const cpuTicks = 1_000_000

// processSystem is nothing here: gopsutil holds on to nothing.
type processSystem struct{}

// processFile is gopsutil's handle of a process.
type processFile struct{ process *gopsutilprocess.Process }

// scan asks gopsutil for every process. Those that end meanwhile are left out.
func (t *processTable) scan(ctx context.Context, _ Tick) error {
	if !perProcessCalls {
		return ErrUnsupported
	}
	at := t.host.Now()
	found, err := gopsutilprocess.ProcessesWithContext(ctx)
	if err != nil {
		return err
	}
	before := make(map[int]*processEntry, len(t.entries))
	for _, e := range t.entries {
		before[e.pid] = e
	}
	next := make([]*processEntry, 0, len(found))
	hidden := 0
	for _, g := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		started, err := g.CreateTimeWithContext(ctx) // In ms since 1970.
		if err != nil {
			if denied(err) {
				hidden++
			}
			continue
		}
		e := before[int(g.Pid)]
		if e == nil || e.start != uint64(started) {
			e = &processEntry{pid: int(g.Pid), start: uint64(started), file: processFile{g}}
		}
		t.refresh(ctx, e)
		next = append(next, e)
	}
	slices.SortFunc(next, func(a, b *processEntry) int { return cmp.Compare(a.pid, b.pid) })
	t.entries, t.at, t.clock, t.hidden = next, at, uint64(at.UnixMilli()), hidden
	return nil
}

// startTime is when a process started, which is in milliseconds since 1970.
func startTime(_ time.Time, start uint64) time.Time { return time.UnixMilli(int64(start)).UTC() }

// release has nothing to close.
func (t *processTable) release(*processEntry) {}

// renameOwners: the system is asked for a name each time.
func (t *processTable) renameOwners() {}

// lives: only Linux asks.
func (t *processTable) lives(*processEntry) bool { return true }

// reaped: only Linux has the account of children in that of their parent.
func (t *processTable) reaped(*processEntry) uint64 { return 0 }

// gone reports whether an error means that there is no such process any more.
func gone(err error) bool { return errors.Is(err, gopsutilprocess.ErrorProcessNotRunning) }

// refresh asks for a process' numbers; what the system does not report stays as it was.
func (t *processTable) refresh(ctx context.Context, e *processEntry) {
	g := e.file.process
	e.moved = true
	if name, err := g.NameWithContext(ctx); err == nil && name != e.comm {
		e.comm, e.renamed = name, true
	}
	times, err := g.TimesWithContext(ctx)
	if e.noTimes = err != nil; !e.noTimes {
		e.user, e.system = uint64(times.User*cpuTicks), uint64(times.System*cpuTicks)
	}
	if memory, err := g.MemoryInfoWithContext(ctx); err == nil {
		e.rss, e.virtual = memory.RSS, memory.VMS
	}
	if threads, err := g.NumThreadsWithContext(ctx); err == nil {
		e.threads = int(threads)
	}
	if parent, err := g.PpidWithContext(ctx); err == nil {
		e.parent = int(parent)
	}
	e.status = "unknown"
	if runtime.GOOS == "darwin" {
		return // There gopsutil would start ps(1) for every process at every tick.
	}
	if words, err := g.StatusWithContext(ctx); err == nil && len(words) > 0 {
		e.status = receiverWord(words[0])
	}
}

// receiverWord is the host metrics receiver's word for a status of gopsutil.
func receiverWord(status string) string {
	switch status {
	case gopsutilprocess.Sleep:
		return "sleeping"
	case gopsutilprocess.Stop:
		return "stopped"
	case gopsutilprocess.Lock:
		return "locked"
	case gopsutilprocess.Wait:
		return "paging"
	case gopsutilprocess.Running, gopsutilprocess.Blocked, gopsutilprocess.Idle, gopsutilprocess.Zombie,
		gopsutilprocess.Daemon, gopsutilprocess.Detached, gopsutilprocess.System, gopsutilprocess.Orphan:
		return status
	}
	return "unknown"
}

// identify asks for a process' arguments and owner. What is not reported is empty.
func (t *processTable) identify(e *processEntry) identity {
	var id identity
	id.arguments, _ = e.file.process.CmdlineSlice()
	id.owner, _ = e.file.process.Username()
	return id
}

// arguments asks for the command line with all secrets in it, none where it is not reported.
func (t *processTable) arguments(e *processEntry) []string {
	args, err := e.file.process.CmdlineSlice()
	if err != nil {
		return nil
	}
	return args
}

// readIO asks how much a process has read and written.
func (t *processTable) readIO(e *processEntry, _ bool) (moved, error) {
	io, err := e.file.process.IOCounters()
	if err != nil {
		return moved{}, err
	}
	return moved{io.ReadBytes, io.WriteBytes}, nil
}

// denied reports whether an error means that the agent lacks the permission.
func denied(err error) bool { return errors.Is(err, fs.ErrPermission) }

// memoryTotal is the memory of the machine in bytes, 0 where it is not known.
func (t *processTable) memoryTotal(ctx context.Context) uint64 {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return 0
	}
	return m.Total
}

// close has nothing to close.
func (t *processTable) close() {}
