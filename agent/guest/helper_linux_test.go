package guest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// helperVariable makes this test program do in a guest what no program of the packages does:
//
//	leader                 hold helperMemory and live by another thread than the first one, which ends
//	beneath FROM TO        put the mount at FROM beneath the one at TO, too (Linux 6.5)
//	quota DEVICE ID KIB    limit the project of that number on a file system with quotas
const helperVariable = "SYSOTEL_TEST_IN_GUEST"

// helperMemory is what the helper holds, in bytes.
const helperMemory = 64 << 20

// Only before main starts does the program surely run on its first thread.
func init() {
	words := strings.Fields(os.Getenv(helperVariable))
	if len(words) == 0 {
		return
	}
	var err error
	switch {
	case words[0] == "leader":
		endLeader()
	case words[0] == "beneath" && len(words) == 3:
		err = mountBeneath(words[1], words[2])
	case words[0] == "quota" && len(words) == 4:
		err = limitProject(words[1], words[2], words[3])
	default:
		err = errors.New("not understood")
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", strings.Join(words, " "), err)
		os.Exit(1)
	}
	os.Exit(0)
}

// endLeader ends the first thread as pthread_exit(3) does. It does not return.
func endLeader() {
	begun := make(chan struct{})
	go func() {
		held := make([]byte, helperMemory)
		for i := 0; i < len(held); i += os.Getpagesize() {
			held[i] = 1
		}
		close(begun)
		for range time.Tick(time.Millisecond) {
			held[0]++
		}
	}()
	<-begun
	_, _, _ = syscall.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

func mountBeneath(from, to string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("open_tree", err)
	}
	const beneath = 0x200 // MOVE_MOUNT_BENEATH of linux/mount.h.
	return os.NewSyscallError("move_mount", unix.MoveMount(fd, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH|beneath))
}

// limitProject sets the limit that cannot be passed: quotactl(2).
func limitProject(device, project, kib string) error {
	id, err := strconv.Atoi(project)
	if err != nil {
		return err
	}
	limit, err := strconv.ParseUint(kib, 10, 64)
	if err != nil {
		return err
	}
	// struct if_dqblk, Q_SETQUOTA, PRJQUOTA and QIF_BLIMITS of linux/quota.h.
	block := struct {
		hard, soft, space, hardInodes, softInodes, inodes, time, inodeTime uint64
		valid                                                              uint32
	}{hard: limit, valid: 1}
	const set, projects = 0x800008, 2
	path, err := unix.BytePtrFromString(device)
	if err != nil {
		return err
	}
	_, _, number := unix.Syscall6(unix.SYS_QUOTACTL, set<<8|projects, uintptr(unsafe.Pointer(path)), uintptr(id), uintptr(unsafe.Pointer(&block)), 0, 0)
	if number != 0 {
		return os.NewSyscallError("quotactl", number)
	}
	return nil
}
