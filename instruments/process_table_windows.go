package instruments

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
	"unsafe"

	"github.com/shirou/gopsutil/v3/mem"
	gopsutilprocess "github.com/shirou/gopsutil/v3/process"
	"golang.org/x/sys/windows"
)

// cpuTicks is the number of units in a second of processEntry.user and .system: 100 ns.
const cpuTicks = 10_000_000

// epoch is 1970 in units of 100 ns since 1601, from which Windows counts.
const epoch = 116_444_736_000_000_000

// processSystem is the memory into which the system writes the processes.
type processSystem struct {
	answer []uint64
	// counts is set where the system counts what processes read and write: Wine does not,
	// by which this one has not even read its own program.
	counts bool
}

// processFile has the bytes that the newest scan saw.
type processFile struct{ read, written uint64 }

// maxProcessAnswer bounds the list of processes: 16 MiB are some 10,000.
const maxProcessAnswer = 64 << 20

// scan asks the system for all processes at once. gopsutil opens every one, which needs
// rights, and lists all of them again for each one's name and threads.
func (t *processTable) scan(ctx context.Context, _ Tick) error {
	at := t.host.Now()
	if err := t.system.ask(ctx); err != nil {
		return err
	}
	before := make(map[int]*processEntry, len(t.entries))
	for _, e := range t.entries {
		before[e.pid] = e
	}
	next := make([]*processEntry, 0, len(t.entries)+16)
	for p := range t.system.each {
		// Process 0 is no process: it has the time in which processors were idle.
		if p.UniqueProcessID == 0 {
			continue
		}
		pid, start := int(p.UniqueProcessID), uint64(max(0, p.CreateTime-epoch)/10_000)
		e := before[pid]
		if e == nil || e.start != start {
			e = &processEntry{pid: pid, start: start}
		}
		e.take(p)
		if pid == os.Getpid() {
			t.system.counts = p.ReadOperationCount+p.WriteOperationCount+p.OtherOperationCount > 0
		}
		next = append(next, e)
	}
	slices.SortFunc(next, func(a, b *processEntry) int { return cmp.Compare(a.pid, b.pid) })
	t.entries, t.at, t.clock = next, at, uint64(at.UnixMilli())
	return nil
}

// take takes the numbers of a process.
func (e *processEntry) take(p *windows.SYSTEM_PROCESS_INFORMATION) {
	name := p.ImageName.String()
	if name == "" && p.UniqueProcessID == systemPID {
		name = "System"
	}
	if name != e.comm {
		e.comm, e.renamed = name, true
	}
	e.moved = true
	e.kernel = p.UniqueProcessID == systemPID
	e.user, e.system = uint64(p.UserTime), uint64(p.KernelTime)
	// Virtual memory is what was promised: programs reserve terabytes.
	e.rss, e.virtual = uint64(p.WorkingSetSize), uint64(p.PagefileUsage)
	e.threads, e.parent = int(p.NumberOfThreads), int(p.InheritedFromUniqueProcessID)
	e.file = processFile{uint64(p.ReadTransferCount), uint64(p.WriteTransferCount)}
	e.status = processStatus(p)
}

// systemPID is the process of the kernel.
const systemPID = 4

// threadInformation is SYSTEM_THREAD_INFORMATION; it follows the process, once for each
// thread.
type threadInformation struct {
	kernelTime, userTime, createTime int64
	waitTime                         uint32
	startAddress, process, thread    uintptr
	priority, basePriority           int32
	switches, state, reason          uint32
}

// KTHREAD_STATE and KWAIT_REASON of ntddk.h.
const (
	threadReady     = 1
	threadRunning   = 2
	threadStandby   = 3
	threadWaiting   = 5
	threadDeferred  = 7
	reasonSuspended = 5
)

// processStatus is running where a thread runs or could, stopped where all are suspended,
// sleeping where all wait, else unknown.
func processStatus(p *windows.SYSTEM_PROCESS_INFORMATION) string {
	waiting, suspended := uint32(0), uint32(0)
	for _, thread := range unsafe.Slice((*threadInformation)(unsafe.Add(unsafe.Pointer(p), unsafe.Sizeof(*p))), p.NumberOfThreads) {
		switch thread.state {
		case threadReady, threadRunning, threadStandby, threadDeferred:
			return "running"
		case threadWaiting:
			waiting++
			if thread.reason == reasonSuspended {
				suspended++
			}
		}
	}
	switch {
	case waiting == 0 || waiting < p.NumberOfThreads:
		return "unknown"
	case suspended == waiting:
		return "stopped"
	}
	return "sleeping"
}

// ask has the system write the processes.
func (s *processSystem) ask(ctx context.Context) error {
	size := uint32(max(len(s.answer)*8, 64<<10))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if size > maxProcessAnswer {
			return fmt.Errorf("the system lists processes in more than %d MiB", maxProcessAnswer>>20)
		}
		if len(s.answer)*8 < int(size) {
			s.answer = make([]uint64, size/8)
		}
		var need uint32
		err := windows.NtQuerySystemInformation(windows.SystemProcessInformation, unsafe.Pointer(&s.answer[0]), uint32(len(s.answer)*8), &need)
		if !errors.Is(err, windows.STATUS_INFO_LENGTH_MISMATCH) {
			return err
		}
		size = (max(need, size) + 32<<10) &^ 7 // Some start meanwhile.
	}
}

// each yields the processes; they are valid until the next scan.
func (s *processSystem) each(yield func(*windows.SYSTEM_PROCESS_INFORMATION) bool) {
	for p := (*windows.SYSTEM_PROCESS_INFORMATION)(unsafe.Pointer(&s.answer[0])); yield(p) && p.NextEntryOffset > 0; {
		p = (*windows.SYSTEM_PROCESS_INFORMATION)(unsafe.Add(unsafe.Pointer(p), p.NextEntryOffset))
	}
}

// startTime is when a process started, which is in milliseconds since 1970.
func startTime(_ time.Time, start uint64) time.Time {
	if start == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(start)).UTC()
}

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

// identify asks for a process' arguments and owner. What is not reported is empty.
func (t *processTable) identify(e *processEntry) identity {
	id := identity{arguments: t.arguments(e)}
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(e.pid))
	if err != nil {
		return id
	}
	defer func() { _ = windows.CloseHandle(h) }()
	var token windows.Token
	if err := windows.OpenProcessToken(h, windows.TOKEN_QUERY, &token); err != nil {
		return id
	}
	defer func() { _ = token.Close() }()
	user, err := token.GetTokenUser()
	if err != nil {
		return id
	}
	id.owner = user.User.Sid.String() // The number of an account that was deleted.
	if name, domain, _, err := user.User.Sid.LookupAccount(""); err == nil {
		id.owner = domain + `\` + name
	}
	return id
}

// arguments asks for the command line with all secrets in it, none where it is not reported.
func (t *processTable) arguments(e *processEntry) []string {
	line, err := (&gopsutilprocess.Process{Pid: int32(e.pid)}).Cmdline()
	if err != nil || line == "" {
		return nil
	}
	arguments, err := windows.DecomposeCommandLine(line)
	if err != nil {
		return nil
	}
	return arguments
}

// readIO returns how much a process has read and written: files, devices and the network
// together, which Windows counts in one.
func (t *processTable) readIO(e *processEntry, _ bool) (moved, error) {
	if !t.system.counts {
		return moved{}, errors.ErrUnsupported
	}
	return moved{e.file.read, e.file.written}, nil
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
