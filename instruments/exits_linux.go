package instruments

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel reports each task that ends by taskstats over generic netlink
// (Documentation/accounting/taskstats.rst). It does so in the first PID and network
// namespace, to who has CAP_NET_ADMIN; elsewhere it refuses, or says nothing.
//
// A process has ended when its last task has: then the flag groupEnded is set. There is a
// second record with sums over all threads, where there was ever more than one; it has
// no name, no identity and nothing but what the scheduler measured.

const (
	// exitBuffer is how much the kernel may keep for the agent between two looks, in bytes
	// of its memory: some 9,000 ends. When it is full the rest is not heard, but counted
	// among the forks, and its CPU time is unattributed as without it.
	exitBuffer = 16 << 20
	// maxExits bounds what is taken at one look.
	maxExits = 16384
	// maxGroups bounds the processes of whose threads some have ended, and groupLooks
	// for how many looks one is kept whose end is never heard.
	maxGroups  = 4096
	groupLooks = 3600
	// taskstatsVersion is the first that names the process of a thread (Linux 5.19).
	taskstatsVersion = 12
	// groupEnded is AGROUP of linux/acct.h: the last task of its process.
	groupEnded = 0x20
	// genericHeader is the size of struct genlmsghdr, attributeHeader that of struct nlattr.
	genericHeader, attributeHeader = 4, 4
	// nlaTypeMask is NLA_TYPE_MASK of linux/netlink.h.
	nlaTypeMask = 0x3fff
)

// Places in struct taskstats, which are the same in all versions but 15: the proof finds
// that one.
const (
	atFlag   = unsafe.Offsetof(unix.Taskstats{}.Ac_flag)
	atRun    = unsafe.Offsetof(unix.Taskstats{}.Cpu_run_virtual_total)
	atComm   = unsafe.Offsetof(unix.Taskstats{}.Ac_comm)
	atPID    = unsafe.Offsetof(unix.Taskstats{}.Ac_pid)
	atParent = unsafe.Offsetof(unix.Taskstats{}.Ac_ppid)
	atUser   = unsafe.Offsetof(unix.Taskstats{}.Ac_utime)
	atSystem = unsafe.Offsetof(unix.Taskstats{}.Ac_stime)
	atPeak   = unsafe.Offsetof(unix.Taskstats{}.Hiwater_rss)
	atGroup  = unsafe.Offsetof(unix.Taskstats{}.Ac_tgid)
	atLived  = unsafe.Offsetof(unix.Taskstats{}.Ac_tgetime)
	// leastTaskstats is how much of it is needed.
	leastTaskstats = int(atLived) + 8
)

// exitListener hears of the ends of processes. The zero value begins at its first take.
type exitListener struct {
	began  bool
	fd     keptFile
	buf    []byte
	looks  uint64
	groups map[int]*taskSums
	odd    uint64
	now    exits
}

// taskSums is what the threads of a process had used that have ended before it.
type taskSums struct {
	comm         string
	user, system time.Duration
	look         uint64
}

// take returns the ends since the last call, at the first call none. It never waits.
func (l *exitListener) take() exits {
	l.now.heard = l.now.heard[:0]
	l.looks++
	if !l.began {
		l.began = true
		if err := l.begin(); err != nil {
			l.close()
			l.now.reason = fmt.Sprintf(unheardExits, err)
		} else {
			l.now.on = true
		}
		return l.now
	}
	if l.fd == 0 {
		return l.now
	}
	if err := l.receive(); err != nil {
		l.close()
		l.now.on, l.now.reason = false, fmt.Sprintf(unheardExits, err)
	}
	if l.looks%64 == 0 {
		for pid, g := range l.groups {
			if l.looks-g.look > groupLooks {
				delete(l.groups, pid)
			}
		}
	}
	return l.now
}

func (l *exitListener) close() {
	if l.fd != 0 {
		_ = unix.Close(int(l.fd) - 1)
	}
	*l = exitListener{began: l.began, looks: l.looks, now: exits{lost: l.now.lost}}
}

// begin subscribes to the ends of all tasks, and proves by the end of a child of its own
// that they are heard: in other namespaces there can be silence without an error.
func (l *exitListener) begin() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_GENERIC)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	l.fd = keptFile(fd + 1)
	// Half of it: the kernel doubles it, and counts its own overhead.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, exitBuffer/2); err != nil {
		return needsAdmin(os.NewSyscallError("setsockopt", err))
	}
	l.buf, l.groups = make([]byte, 16<<10), map[int]*taskSums{}
	answer, err := l.ask(unix.GENL_ID_CTRL, unix.CTRL_CMD_GETFAMILY, unix.CTRL_ATTR_FAMILY_NAME, "TASKSTATS\x00")
	if err != nil {
		return fmt.Errorf("the kernel has no taskstats here (own network namespace, or built without): %w", err)
	}
	family, found := netlinkAttribute(answer, unix.CTRL_ATTR_FAMILY_ID)
	if !found || len(family) < 2 {
		return errors.New("the kernel does not number taskstats")
	}
	if _, err := l.ask(binary.NativeEndian.Uint16(family), unix.TASKSTATS_CMD_GET, unix.TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, possibleProcessors()+"\x00"); err != nil {
		return needsAdmin(os.NewSyscallError("register", err))
	}
	return l.prove()
}

// needsAdmin says what is missing where it is a right.
func needsAdmin(err error) error {
	if errors.Is(err, unix.EPERM) {
		return errors.New("that needs CAP_NET_ADMIN")
	}
	if errors.Is(err, unix.EINVAL) {
		return errors.New("that needs the first PID and user namespace")
	}
	return err
}

// possibleProcessors is the mask of those that can ever be there, such as "0-7".
func possibleProcessors() string {
	text, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if text = bytes.TrimSpace(text); err != nil || len(text) == 0 || len(text) > 64 {
		return "0-" + strconv.Itoa(max(runtime.NumCPU()-1, 0))
	}
	return string(text)
}

// prove lets a child of its own end: one that is to run a program that cannot be there.
func (l *exitListener) prove() error {
	if pid, err := syscall.ForkExec("/dev/null/none", []string{"none"}, nil); err == nil {
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	} else if !errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("no child to prove it: %w", err)
	}
	if err := l.receive(); err != nil {
		return err
	}
	for _, e := range l.now.heard {
		if e.parent == os.Getpid() {
			l.now.heard = l.now.heard[:0]
			return nil
		}
	}
	if l.odd > 0 {
		return fmt.Errorf("the kernel's records are older than version %d or of another layout", taskstatsVersion)
	}
	return errors.New("the end of an own child was not heard (own PID or network namespace)")
}

// ask sends a request with one attribute and returns the attributes of the answer.
func (l *exitListener) ask(family uint16, command uint8, kind uint16, value string) ([]byte, error) {
	order := binary.NativeEndian
	size := netlinkHeader + genericHeader + attributeHeader + len(value)
	b := make([]byte, (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1))
	order.PutUint32(b, uint32(len(b)))
	order.PutUint16(b[4:], family)
	order.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b[netlinkHeader], b[netlinkHeader+1] = command, 1
	order.PutUint16(b[netlinkHeader+genericHeader:], uint16(attributeHeader+len(value)))
	order.PutUint16(b[netlinkHeader+genericHeader+2:], kind)
	copy(b[netlinkHeader+genericHeader+attributeHeader:], value)
	fd := int(l.fd) - 1
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	// The kernel answers before the sending returns.
	var answer []byte
	for range maxExits {
		n, from, err := unix.Recvfrom(fd, l.buf, unix.MSG_DONTWAIT)
		if err == unix.EINTR || err == nil && !ofKernel(from) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m := l.buf[:n]
		if len(m) < netlinkHeader+4 {
			continue
		}
		switch order.Uint16(m[4:]) {
		case unix.NLMSG_ERROR:
			if number := int32(order.Uint32(m[netlinkHeader:])); number != 0 {
				return nil, unix.Errno(-number)
			}
			return answer, nil
		case family:
			if answer == nil && family == unix.GENL_ID_CTRL {
				answer = bytes.Clone(m[netlinkHeader+genericHeader:])
			}
		}
	}
	return nil, errors.New("no answer among other messages")
}

// ofKernel reports whether a message is the kernel's: any process can send.
func ofKernel(from unix.Sockaddr) bool {
	sender, ok := from.(*unix.SockaddrNetlink)
	return ok && sender.Pid == 0
}

// receive reads what the kernel has kept.
func (l *exitListener) receive() error {
	for range maxExits {
		n, from, err := unix.Recvfrom(int(l.fd)-1, l.buf, unix.MSG_DONTWAIT)
		switch {
		case err == nil && ofKernel(from):
			l.message(l.buf[:n])
		case err == nil || errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ENOBUFS):
			l.now.lost++
		default:
			return os.NewSyscallError("recvfrom", err)
		}
	}
	return nil // The rest is for the next look.
}

// message takes one end of a task in.
func (l *exitListener) message(m []byte) {
	if len(m) < netlinkHeader+genericHeader || m[netlinkHeader] != unix.TASKSTATS_CMD_NEW {
		return
	}
	attributes := m[netlinkHeader+genericHeader:]
	task, ok := taskRecord(attributes, unix.TASKSTATS_TYPE_AGGR_PID)
	if !ok {
		l.odd++
		return
	}
	group, _ := taskRecord(attributes, unix.TASKSTATS_TYPE_AGGR_TGID)
	l.ended(task, group)
}

// taskRecord is the struct taskstats of one kind in a message.
func taskRecord(attributes []byte, kind uint16) (record []byte, ok bool) {
	nested, found := netlinkAttribute(attributes, kind)
	if !found {
		return nil, false
	}
	record, found = netlinkAttribute(nested, unix.TASKSTATS_TYPE_STATS)
	if !found || len(record) < leastTaskstats || binary.NativeEndian.Uint16(record) < taskstatsVersion {
		return nil, false
	}
	return record, true
}

// netlinkAttribute finds the first attribute of a kind.
func netlinkAttribute(b []byte, kind uint16) (value []byte, found bool) {
	for len(b) >= attributeHeader {
		size := int(binary.NativeEndian.Uint16(b))
		if size < attributeHeader || size > len(b) {
			return nil, false
		}
		if binary.NativeEndian.Uint16(b[2:])&nlaTypeMask == kind {
			return b[attributeHeader:size], true
		}
		b = b[min((size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
	}
	return nil, false
}

// ended adds the record of a task to those of its process, which has ended with its last
// task. group is the process' own record where it has one, else nil.
func (l *exitListener) ended(task, group []byte) {
	number := func(b []byte, at uintptr) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	short := func(at uintptr) int { return int(binary.NativeEndian.Uint32(task[at:])) }
	pid, tgid := short(atPID), short(atGroup)
	if pid <= 0 || tgid <= 0 {
		l.odd++
		return
	}
	user, system := inUnits(number(task, atUser), time.Microsecond), inUnits(number(task, atSystem), time.Microsecond)
	before := l.groups[tgid]
	if task[atFlag]&groupEnded == 0 {
		if before == nil {
			if len(l.groups) >= maxGroups {
				return
			}
			before = &taskSums{}
			l.groups[tgid] = before
		}
		before.user, before.system, before.look = before.user+user, before.system+system, l.looks
		if pid == tgid {
			before.comm = taskName(task)
		}
		return
	}
	e := exit{
		pid: tgid, parent: short(atParent), lived: inUnits(number(task, atLived), time.Microsecond),
		user: user, system: system, run: inUnits(number(task, atRun), time.Nanosecond),
		peak: min(number(task, atPeak), maxBytes/1024) * 1024,
	}
	if group != nil {
		e.run = max(e.run, inUnits(number(group, atRun), time.Nanosecond))
	}
	if before != nil {
		e.user, e.system, e.comm = e.user+before.user, e.system+before.system, before.comm
		delete(l.groups, tgid)
	}
	if e.comm == "" {
		e.comm = taskName(task)
	}
	l.now.heard = append(l.now.heard, e)
}

// taskName is ac_comm.
func taskName(task []byte) string {
	name, _, _ := bytes.Cut(task[atComm:atComm+32], []byte{0})
	return string(name)
}

// inUnits is a time of a record.
func inUnits(n uint64, unit time.Duration) time.Duration {
	return time.Duration(min(n, uint64(maxTold/unit))) * unit
}

// unheardExits is the reason where ends are not heard.
const unheardExits = "the ends of processes are not told by the kernel: %s; those that live between two readings have no name, and their CPU time is unattributed"
