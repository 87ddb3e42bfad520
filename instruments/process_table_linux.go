package instruments

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTicks is the number of units in a second of processEntry.user and .system.
const cpuTicks = userHZ

// maxProcessFiles bounds the files that are kept open, whatever the limit of
// open files: each holds a page and 362 bytes of the kernel's memory (measured
// on Linux 6.18), which counts as the agent's own under a memory limit. So this
// is 18 MB at most; opening a file at every tick instead costs about 4 µs.
const maxProcessFiles = 4096

// processSystem is what the table holds on to in Linux: open files and buffers.
type processSystem struct {
	root string
	// dir is /proc; kept reports whether files below it may stay open: only in a
	// real procfs does an open file belong to one process for good.
	dir    int
	opened bool
	kept   bool
	open   int
	limit  int
	clock  *file
	pids   []int
	// threads is the work space of live.
	threads []int
	spare   []*processEntry
	buf     []byte
	users   users
	// named is users.known at the time at which owners were given their names.
	named uint64
}

// processFile is what an entry holds on to: its files, where they are kept
// open, and the text of /proc/PID/stat that its numbers are from.
type processFile struct {
	stat, io keptFile
	text     []byte
	// user is the owner's number, where ownerKnown is set.
	user       uint32
	ownerKnown bool
}

// keptFile is a file descriptor plus one, so that the zero value is a closed file.
type keptFile int

// scan reads /proc/PID/stat of every process. Processes that end meanwhile are
// left out; they are not errors.
func (t *processTable) scan(ctx context.Context, tick Tick) error {
	s := &t.system
	if err := t.openProc(); err != nil {
		return err
	}
	stat, _ := t.host.procStat(ctx, tick) // Nil where it cannot be read.
	t.boot = t.bootTime(stat, tick)
	at, clock := t.host.Now(), t.startClock()
	t.odd = misread{}
	if err := t.list(); err != nil {
		return err
	}

	// Both the list and the entries are in the order of PIDs, so one walk over
	// both finds who came and who went. If it ends early, the entries that were
	// not reached are kept as they are.
	next, old, hidden := s.spare[:0], t.entries, 0
	var failed error
	for i, pid := range s.pids {
		if i%256 == 255 && ctx.Err() != nil {
			failed = ctx.Err()
			break
		}
		for len(old) > 0 && old[0].pid < pid {
			t.end(old[0])
			old = old[1:]
		}
		var e *processEntry
		if len(old) > 0 && old[0].pid == pid {
			e, old = old[0], old[1:]
		}
		seen, err := t.refresh(e, pid)
		if e != nil && seen != e {
			t.end(e)
		}
		switch {
		case seen != nil:
			next = append(next, seen)
		case denied(err):
			hidden++
		case err != nil:
			// One process that cannot be read is not in the table; the others are.
			t.odd.note("process "+strconv.Itoa(pid), err.Error())
		}
	}
	if failed == nil {
		if odd := t.odd.Missing(); len(next) == 0 && odd != nil {
			failed = fmt.Errorf("%s: %s", odd[0].Subject, odd[0].Reason)
		}
		for _, e := range old {
			t.end(e)
		}
		old = nil
	}
	next = append(next, old...)
	clear(t.entries)
	s.spare, t.entries = t.entries, next
	if failed != nil {
		return failed
	}
	// Where the clock is a container's and the starts are the machine's, processes
	// start in the future, and which are new cannot be told.
	if !s.kept {
		for _, e := range next {
			if e.start > clock && e.start-clock > startSlack {
				clock = math.MaxUint64
			}
		}
	}
	t.at, t.clock, t.hidden = at, clock, hidden
	return nil
}

// startSlack is how much later than the scan a process can start that is seen by it.
const startSlack = 60 * userHZ

// openProc opens /proc where it is not open, or where the root has moved.
func (t *processTable) openProc() error {
	s := &t.system
	if s.opened && s.root == t.host.root {
		return nil
	}
	t.close()
	path := t.host.path("proc")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	s.dir, s.opened, s.root = fd, true, t.host.root
	var fs unix.Statfs_t
	s.kept = unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
	s.limit = fileLimit()
	t.scope = t.host.processScope()
	if s.buf == nil {
		s.buf = make([]byte, 8192)
	}
	if s.clock == nil {
		s.clock = t.host.open("proc/uptime")
	}
	return nil
}

// fileLimit is how many files of processes may stay open.
func fileLimit() int {
	spare, _ := SpareFiles()
	return max(0, min(spare/2, maxProcessFiles))
}

// close closes every file. The entries stay: the next scan opens their files again.
func (t *processTable) close() {
	s := &t.system
	for _, e := range t.entries {
		t.release(e)
	}
	if s.opened {
		_ = unix.Close(s.dir)
		s.clock.close()
		s.opened = false
	}
	t.listener.close()
}

// exits returns the ends of processes since the last call. Only those of the machine
// whose /proc is read are asked for, and only where all its processes are seen.
func (t *processTable) exits() exits {
	if !t.system.kept || t.scope != "" {
		return exits{}
	}
	return t.listener.take()
}

// release closes the files of an entry.
func (t *processTable) release(e *processEntry) {
	for _, f := range [...]*keptFile{&e.file.stat, &e.file.io} {
		if *f != 0 {
			_ = unix.Close(int(*f) - 1)
			*f = 0
			t.system.open--
		}
	}
}

// startClock is the time since boot in the ticks of a process' start time; the
// maximum number where it cannot be read, so that no process is taken for a new one.
// In a real procfs it is CLOCK_BOOTTIME, which is what starts are taken from, in the
// agent's time namespace as the starts are; a container can be given a /proc/uptime of its own.
func (t *processTable) startClock() uint64 {
	if t.system.kept {
		if awake, ok := sinceBoot(); ok {
			return uint64(awake / (time.Second / userHZ))
		}
	}
	text, err := t.system.clock.read()
	if err != nil {
		return math.MaxUint64
	}
	word, _, _ := bytes.Cut(text, []byte{' '})
	whole, part, _ := bytes.Cut(word, []byte{'.'})
	seconds, ok := parseUint(whole)
	hundredths, okPart := parseUint(part)
	if !ok || !okPart || len(part) != 2 || seconds > math.MaxInt64/userHZ {
		return math.MaxUint64
	}
	return seconds*userHZ + hundredths
}

// sinceBoot is CLOCK_BOOTTIME.
func sinceBoot() (time.Duration, bool) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano()), err == nil
}

// bootTime is when the machine started, by btime of /proc/stat. In a real procfs it
// is compared with the clocks: a container can be given a /proc/stat of its own, and
// kernels before 5.11 do not tell btime in the reader's time namespace.
func (t *processTable) bootTime(stat *procStat, tick Tick) time.Time {
	var boot time.Time
	if stat != nil && stat.boot > 0 {
		boot = time.Unix(stat.boot, 0).UTC()
	}
	if awake, ok := sinceBoot(); ok && t.system.kept {
		if clocks := time.Now().Add(-awake).Truncate(time.Second).UTC(); clocks.Sub(boot).Abs() > bootSlack {
			boot = clocks
		}
	}
	return tick.believed(boot, t.host.Now())
}

// bootSlack is the difference that comes from rounding.
const bootSlack = 2 * time.Second

// startTime is when a process started that did so a number of ticks after boot.
func startTime(boot time.Time, start uint64) time.Time {
	const most = 1 << 40 // 350 years.
	if boot.IsZero() || start > most {
		return time.Time{}
	}
	return boot.Add(time.Duration(start) * (time.Second / userHZ))
}

// list reads the names of /proc that are numbers, in rising order.
func (t *processTable) list() error {
	s := &t.system
	s.pids = s.pids[:0]
	if _, err := unix.Seek(s.dir, 0, 0); err != nil {
		t.close()
		return os.NewSyscallError("lseek /proc", err)
	}
	for {
		n, err := unix.Getdents(s.dir, s.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.close()
			return os.NewSyscallError("getdents /proc", err)
		}
		if n <= 0 {
			break
		}
		s.pids = appendPIDs(s.pids, s.buf[:n])
	}
	if !slices.IsSorted(s.pids) { // Only procfs lists them in order.
		slices.Sort(s.pids)
	}
	return nil
}

// appendPIDs reads directory entries as getdents64(2) gives them: the length of
// the entry at byte 16, the name from byte 19 up to a 0 byte.
func appendPIDs(pids []int, entries []byte) []int {
	for len(entries) > 19 {
		length := int(binary.NativeEndian.Uint16(entries[16:]))
		if length < 20 || length > len(entries) {
			break
		}
		pid := 0
		for _, c := range entries[19:length] {
			if c == 0 {
				break
			}
			if c < '0' || c > '9' || pid > math.MaxInt32/10 {
				pid = 0
				break
			}
			pid = pid*10 + int(c-'0')
		}
		if pid > 0 {
			pids = append(pids, pid)
		}
		entries = entries[length:]
	}
	return pids
}

// refresh reads the process' stat and returns its entry: e, a new one where e is
// nil or was another process of the same PID, or nil where there is no process.
func (t *processTable) refresh(e *processEntry, pid int) (*processEntry, error) {
	var kept keptFile
	if e != nil {
		kept = e.file.stat
	}
	text, file, err := t.readStat(kept, pid)
	if e != nil {
		e.file.stat = file // Of a process that is gone it is closed by now, or another's.
	}
	if err != nil {
		if gone(err) {
			err = nil
		}
		return nil, err
	}
	// Most processes sleep, and then their text does not change.
	if e != nil && e.thread == 0 && bytes.Equal(text, e.file.text) {
		return e, nil
	}
	stat, err := parseProcessStat(text)
	if err != nil {
		if e == nil && file != 0 {
			_ = unix.Close(int(file) - 1)
			t.system.open--
		}
		return nil, &os.PathError{Op: "parse", Path: t.host.path("proc/" + strconv.Itoa(pid) + "/stat"), Err: err}
	}
	if e == nil || e.start != stat.start {
		made := &processEntry{pid: pid, start: stat.start, kernel: stat.flags&kernelThread != 0}
		if e != nil {
			e.file.stat = 0
		}
		made.file.stat = file
		e = made
	}
	e.file.text = append(e.file.text[:0], text...)
	e.moved = true
	if string(stat.comm) != e.comm {
		e.comm, e.renamed = string(stat.comm), true
	}
	e.status, e.parent, e.threads = stateWord(stat.state), stat.parent, stat.threads
	e.noTimes = stat.user == unknownCount || stat.system == unknownCount
	e.user, e.system = stat.user, stat.system
	e.faults, e.childFaults = stat.faults, stat.childFaults
	e.childTicks = stat.childTicks
	e.rss, e.virtual = stat.pages*pageSize, stat.virtual
	e.thread = 0
	if stat.state == 'Z' && stat.threads > 1 {
		t.live(e)
	}
	return e, nil
}

// maxLiving bounds the threads that are read of a process whose first one has ended.
const maxLiving = 16

// live gives a process whose first thread has ended the state and the memory that its
// other threads have: of the first one the kernel shows what is left, a zombie without
// memory. The most active state is the process'.
func (t *processTable) live(e *processEntry) {
	s := &t.system
	dir := strconv.Itoa(e.pid) + "/task"
	fd, err := unix.Openat(s.dir, dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // It is ending as a whole.
	}
	n, _ := unix.Getdents(fd, s.buf)
	_ = unix.Close(fd)
	s.threads = appendPIDs(s.threads[:0], s.buf[:max(n, 0)])
	rank, read := -1, 0
	for _, id := range s.threads {
		if id == e.pid {
			continue
		}
		if read++; read > maxLiving {
			break
		}
		text, _, err := t.openRead(e.pid, "/task/"+strconv.Itoa(id)+"/stat", false)
		if err != nil {
			continue
		}
		stat, err := parseProcessStat(text)
		if err != nil || stat.state == 'Z' || stat.state == 'X' {
			continue
		}
		if r := strings.IndexByte(activity, stat.state); r > rank || e.thread == 0 {
			rank = r
			e.thread, e.status = id, stateWord(stat.state)
			e.rss, e.virtual = stat.pages*pageSize, stat.virtual
		}
	}
}

// activity orders the states of threads.
const activity = "ITtSDR"

// gone reports whether an error means that there is no such process any more.
func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

// readStat reads /proc/PID/stat by the file that is open, or opens it. A file
// that was opened for a process that has ended gives ESRCH even when its PID is
// used again: then it is opened anew. The text is valid until the next read.
func (t *processTable) readStat(kept keptFile, pid int) ([]byte, keptFile, error) {
	if kept != 0 {
		n, err := pread(int(kept)-1, t.system.buf)
		if err == nil && n > 0 {
			return t.system.buf[:n], kept, nil
		}
		_ = unix.Close(int(kept) - 1)
		t.system.open--
	}
	return t.openRead(pid, "/stat", t.system.kept)
}

// openRead opens a file of a process and reads it; where keep is set it stays
// open if there is room.
func (t *processTable) openRead(pid int, name string, keep bool) ([]byte, keptFile, error) {
	s := &t.system
	var path [48]byte
	fd, err := unix.Openat(s.dir, string(append(strconv.AppendInt(path[:0], int64(pid), 10), name...)), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, 0, err
	}
	n, err := pread(fd, s.buf)
	if err == nil && n == 0 && name == "/stat" {
		err = unix.ESRCH // A file of a test's tree that is being written.
	}
	if err != nil || !keep || s.open >= s.limit {
		_ = unix.Close(fd)
		return s.buf[:max(n, 0)], 0, err
	}
	s.open++
	return s.buf[:n], keptFile(fd + 1), nil
}

// pread reads from the start of a file. Files of /proc/PID are given whole in
// one read; what is longer than the buffer is cut.
func pread(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Pread(fd, buf, 0)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// identify reads a process' arguments and owner. What cannot be read is empty.
func (t *processTable) identify(e *processEntry) identity {
	id := identity{arguments: t.arguments(e)}
	// The owner of the directory is the process' effective user. The files below
	// it belong to root where the process may not be traced (setuid programs).
	var stat unix.Stat_t
	if unix.Fstatat(t.system.dir, strconv.Itoa(e.pid), &stat, 0) == nil {
		e.file.user, e.file.ownerKnown = stat.Uid, true
		id.owner = t.system.users.name(t.host, stat.Uid)
	}
	return id
}

// renameOwners gives processes their owners' new names where names have changed.
func (t *processTable) renameOwners() {
	s := &t.system
	if s.named == s.users.known {
		return
	}
	s.named = s.users.known
	for _, e := range t.entries {
		if e.file.ownerKnown {
			e.owner = s.users.name(t.host, e.file.user)
		}
	}
}

// arguments reads the command line with all secrets in it, none where there is none.
func (t *processTable) arguments(e *processEntry) []string {
	if e.kernel {
		return nil
	}
	name := "/cmdline"
	if e.thread != 0 {
		name = "/task/" + strconv.Itoa(e.thread) + name
	}
	text, _, err := t.openRead(e.pid, name, false)
	if err != nil {
		return nil
	}
	return splitArguments(text)
}

// readIO reads how much a process has read from disks and written to them. Its
// file stays open for the next time; where files are scarce, only that of a
// process that is busy does.
func (t *processTable) readIO(e *processEntry, busy bool) (m moved, err error) {
	s := &t.system
	keep := s.kept && (busy || s.open < s.limit*3/4)
	var text []byte
	if f := e.file.io; f != 0 {
		n, err := pread(int(f)-1, s.buf)
		if err != nil || !keep {
			_ = unix.Close(int(f) - 1)
			e.file.io = 0
			s.open--
		}
		if err != nil {
			return m, err
		}
		text = s.buf[:n]
	} else if text, e.file.io, err = t.openRead(e.pid, "/io", keep); err != nil {
		return m, err
	}
	return parseProcessIO(text)
}

// lives reports whether a process is still there, as a zombie too.
func (t *processTable) lives(e *processEntry) bool {
	text, file, err := t.readStat(e.file.stat, e.pid)
	e.file.stat = file
	if err != nil {
		return !gone(err)
	}
	stat, err := parseProcessStat(text)
	return err != nil || stat.start == e.start
}

// reaped reads anew which page faults a process has taken over from children.
func (t *processTable) reaped(e *processEntry) uint64 {
	text, file, err := t.readStat(e.file.stat, e.pid)
	e.file.stat = file
	if err == nil {
		if stat, err := parseProcessStat(text); err == nil && stat.start == e.start {
			return stat.childFaults
		}
	}
	return e.childFaults
}

// denied reports whether an error means that the agent lacks the permission.
func denied(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }

// memoryTotal is the memory of the machine in bytes, 0 where it is not known.
func (t *processTable) memoryTotal(context.Context) uint64 {
	for line := range strings.Lines(t.host.readText("proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil || kib > maxMemory/1024 {
				return 0
			}
			return kib * 1024
		}
	}
	return 0
}
