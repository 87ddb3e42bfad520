package command

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"

	"sysotel/agent/app"
	"sysotel/agent/config"
)

// systemCommands are the commands of this system only.
func systemCommands() []command { return []command{serviceCommand()} }

// isRoot reports whether the user may do everything on this machine.
func isRoot() bool { return windows.GetCurrentProcessToken().IsElevated() }

// defaultPath is the configuration file that is read if no other is named. Every user may
// make it where it does not stand: then it is refused.
func defaultPath() (string, error) {
	shared := sharedDirectory()
	if shared == "" {
		return "", nil
	}
	path := filepath.Join(shared, config.WindowsPath)
	for _, name := range []string{filepath.Dir(path), path} {
		if _, err := os.Stat(name); err != nil {
			break
		}
		if err := app.CheckOwner(name); err != nil {
			return "", err
		}
	}
	return path, nil
}

// sharedDirectory is %ProgramData%, where programs keep what all users share. Who starts
// the agent cannot set it to something else, and services of Wine have another there.
func sharedDirectory() string {
	path, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, windows.KF_FLAG_DEFAULT)
	if err != nil {
		return ""
	}
	return path
}

// underManager runs the agent: as a service, if Windows' service manager has started
// this program.
func underManager(c Call, run func(Call) int) int {
	if !isService() {
		return run(c)
	}
	foreground := c
	// There is no standard error. Without its source, the event log has the lines too.
	events, err := eventlog.Open(serviceName)
	if err == nil {
		defer func() { _ = events.Close() }()
		c.log, c.Err, c.Out = eventWriter{events, 0}, eventWriter{events, eventlog.Error}, io.Discard
	}
	s := &service{call: c, run: run}
	switch err := svc.Run(serviceName, s); {
	case errors.Is(err, windows.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT):
		return run(foreground) // The parent is another services.exe.
	case err != nil:
		return c.fail(err)
	}
	return s.code
}

// isService reports whether the service manager seems to have started this program: its
// parent is services.exe. svc.IsWindowsService wants that in session 0, too, which Wine
// does not have.
func isService() bool {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return false
	}
	defer func() { _ = windows.CloseHandle(snapshot) }()
	parent, names := uint32(0), map[uint32]string{}
	entry := windows.ProcessEntry32{}
	entry.Size = uint32(unsafe.Sizeof(entry))
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		names[entry.ProcessID] = windows.UTF16ToString(entry.ExeFile[:])
		if entry.ProcessID == windows.GetCurrentProcessId() {
			parent = entry.ParentProcessID
		}
	}
	return strings.EqualFold(names[parent], "services.exe")
}

// service is the agent as a service of Windows.
type service struct {
	call Call
	run  func(Call) int
	code int
}

// startTime and stopTime are how long the service manager waits without news.
const (
	startTime = time.Minute
	stopTime  = 30 * time.Second
)

// Execute implements svc.Handler.
func (s *service) Execute(_ []string, requests <-chan svc.ChangeRequest, changes chan<- svc.Status) (bool, uint32) {
	call := s.call
	ctx, stop := context.WithCancel(call.Stop)
	defer stop()
	reload, started, ended := make(chan os.Signal, 1), make(chan struct{}), make(chan int, 1)
	call.Stop, call.Reload, call.started = ctx, reload, func() { close(started) }
	status := svc.Status{State: svc.StartPending, Accepts: svc.AcceptStop | svc.AcceptShutdown, WaitHint: uint32(startTime.Milliseconds())}
	changes <- status
	go func() { ended <- s.run(call) }()
	for {
		select {
		case <-started:
			started = nil
			if status.State == svc.StartPending {
				status = svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown | svc.AcceptParamChange}
				changes <- status
			}
		case s.code = <-ended:
			// With a code it is a failure, after which the manager starts it again.
			return s.code != 0, uint32(s.code)
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				changes <- status
			case svc.Stop, svc.Shutdown:
				status = svc.Status{State: svc.StopPending, WaitHint: uint32(stopTime.Milliseconds())}
				changes <- status
				stop()
			case svc.ParamChange:
				select {
				case reload <- syscall.SIGHUP:
				default: // One waits already.
				}
			}
		}
	}
}
