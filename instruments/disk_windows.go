package instruments

import (
	"context"
	"errors"
	"unsafe"

	"golang.org/x/sys/windows"
)

// diskDetails: Windows counts neither merges nor busy time.
const diskDetails = false

// diskSource asks the drive letters of fixed disks. gopsutil, which does the same, fails
// for all of them where one does not answer, and gives seconds for milliseconds.
type diskSource struct{}

// diskPerformance is DISK_PERFORMANCE of winioctl.h; times are in units of 100 ns.
type diskPerformance struct {
	bytesRead, bytesWritten                     int64
	readTime, writeTime, idleTime               int64
	readCount, writeCount, queueDepth, splitted uint32
	queryTime                                   int64
	storageDevice                               uint32
	storageManager                              [8]uint16
}

// each calls visit for every fixed drive. One that does not answer has unknown counters:
// Wine, for one, counts nothing.
func (diskSource) each(ctx context.Context, _ *Host, odd *misread, visit func(name []byte, c *diskCounters)) error {
	letters, err := windows.GetLogicalDrives()
	if err != nil {
		return err
	}
	for i := range 26 {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := []byte{'A' + byte(i), ':'}
		if letters>>i&1 == 0 || windows.GetDriveType(windows.StringToUTF16Ptr(string(name)+`\`)) != windows.DRIVE_FIXED {
			continue
		}
		var p diskPerformance
		switch err := p.ask(string(name)); {
		case errors.Is(err, windows.ERROR_FILE_NOT_FOUND), errors.Is(err, windows.ERROR_PATH_NOT_FOUND):
			continue // It has just been taken away.
		case errors.Is(err, windows.ERROR_NOT_SUPPORTED), errors.Is(err, windows.ERROR_INVALID_FUNCTION), errors.Is(err, windows.ERROR_ACCESS_DENIED):
			// A letter that stands for a directory (subst) is no device: access is denied.
			odd.hide(string(name), "the system does not count its operations: "+err.Error())
			visit(name, &unknownDisk)
		case err != nil:
			odd.note(string(name), err.Error())
			visit(name, &unknownDisk)
		default:
			const hundredNanoseconds = 10_000 // In a millisecond.
			visit(name, &diskCounters{
				reads: uint64(p.readCount), readBytes: uint64(p.bytesRead), readTime: uint64(p.readTime) / hundredNanoseconds,
				writes: uint64(p.writeCount), writeBytes: uint64(p.bytesWritten), writeTime: uint64(p.writeTime) / hundredNanoseconds,
			})
		}
	}
	return nil
}

// unknownDisk are the counters of a disk that does not answer.
var unknownDisk = diskCounters{
	reads: unknownCount, readsMerged: unknownCount, readBytes: unknownCount, readTime: unknownCount,
	writes: unknownCount, writesMerged: unknownCount, writeBytes: unknownCount, writeTime: unknownCount,
	pending: unknownCount, ioTime: unknownCount, weightedIOTime: unknownCount,
}

// ask asks a drive, "C:", for its counters since boot.
func (p *diskPerformance) ask(drive string) error {
	device, err := windows.UTF16PtrFromString(`\\.\` + drive)
	if err != nil {
		return err
	}
	h, err := windows.CreateFile(device, 0, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	const ioctlDiskPerformance = 0x70020 // IOCTL_DISK_PERFORMANCE of winioctl.h.
	var size uint32
	err = windows.DeviceIoControl(h, ioctlDiskPerformance, nil, 0, (*byte)(unsafe.Pointer(p)), uint32(unsafe.Sizeof(*p)), &size, nil)
	if err == nil && uintptr(size) < unsafe.Offsetof(p.queryTime) {
		return errors.New("the system's answer is too short")
	}
	return err
}
