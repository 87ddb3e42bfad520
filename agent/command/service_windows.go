package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/eventlog"
	"golang.org/x/sys/windows/svc/mgr"

	"sysotel/agent/app"
	"sysotel/agent/config"
)

// serviceName is the name of the service, and of the source of its events.
const serviceName = "sysotel"

func serviceCommand() command {
	return command{
		name: "service", summary: "manage the agent as a service of Windows",
		details: "It needs an administrator. The options of install are those of run, with which the\nservice starts; its log is in the event log, unless log.file names a file.",
		subcommands: []subcommand{
			{name: "install", summary: "have Windows start the agent, now on at every boot", run: Call.installService},
			{name: "start", summary: "start it now", run: func(c Call) error { return c.withService(c.startService) }},
			{name: "stop", summary: "stop it", run: func(c Call) error { return c.withService(c.stopService) }},
			{name: "reload", summary: "have it read its configuration again", run: func(c Call) error { return c.withService(c.reloadService) }},
			{name: "status", summary: "say whether it runs", run: func(c Call) error { return c.withService(c.showService) }},
			{name: "remove", summary: "stop it and have Windows forget it; its data stay", run: func(c Call) error { return c.withService(c.removeService) }},
		},
		options:  allOptions,
		examples: []string{"sysotel service install", "sysotel service install --http.listen 127.0.0.1:8090", "sysotel service start"},
	}
}

// serviceWait bounds the wait for the service to start or stop.
const serviceWait = time.Minute

// withManager calls a function with the service manager.
func (c Call) withManager(do func(*mgr.Mgr) error) error {
	m, err := mgr.Connect()
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return errors.New("the service manager refuses: open the prompt as an administrator")
	}
	if err != nil {
		return fmt.Errorf("ask the service manager: %w", err)
	}
	defer func() { _ = m.Disconnect() }()
	return do(m)
}

// withService calls a function with the installed service.
func (c Call) withService(do func(*mgr.Service) error) error {
	if len(c.Args) > 0 {
		return fmt.Errorf("only sysotel service install takes options of run, got %s", strings.Join(c.Args, " "))
	}
	return c.withManager(func(m *mgr.Mgr) error {
		s, err := m.OpenService(serviceName)
		if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
			return errors.New("the service is not installed; sysotel service install installs it")
		}
		if err != nil {
			return fmt.Errorf("open the service: %w", err)
		}
		defer func() { _ = s.Close() }()
		return do(s)
	})
}

// installService has Windows start this program.
func (c Call) installService() error {
	options, err := absolutePaths(c.Args)
	if err != nil {
		return err
	}
	c.Args = options
	loaded, ok := c.load()
	if !ok {
		return errors.New("the configuration is invalid; nothing is installed")
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	for _, dir := range []string{filepath.Join(sharedDirectory(), filepath.Dir(config.WindowsPath)), loaded.DataDir} {
		if err := app.MakePrivate(dir); err != nil {
			return err
		}
	}
	return c.withManager(func(m *mgr.Mgr) error {
		s, err := m.CreateService(serviceName, program, mgr.Config{
			StartType: mgr.StartAutomatic, ErrorControl: mgr.ErrorNormal,
			DisplayName: "sysotel", Description: "Measures this machine's resources every second.",
		}, append([]string{"run"}, options...)...)
		if errors.Is(err, windows.ERROR_SERVICE_EXISTS) {
			return errors.New("the service is already installed; sysotel service remove removes it")
		}
		if err != nil {
			return fmt.Errorf("install the service: %w", err)
		}
		defer func() { _ = s.Close() }()
		again := func(after time.Duration) mgr.RecoveryAction {
			return mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: after}
		}
		err = s.SetRecoveryActions([]mgr.RecoveryAction{again(5 * time.Second), again(30 * time.Second), again(time.Minute)}, uint32((24*time.Hour)/time.Second))
		if err = errors.Join(err, s.SetRecoveryActionsOnNonCrashFailures(true)); err != nil {
			fmt.Fprintf(c.Err, "sysotel: warning: Windows may not start the service again when it fails: %v\n", err)
		}
		_ = eventlog.Remove(serviceName) // An older program's.
		if err := eventlog.InstallAsEventCreate(serviceName, eventlog.Info|eventlog.Warning|eventlog.Error); err != nil {
			fmt.Fprintf(c.Err, "sysotel: warning: the event log will show events without a description: %v\n", err)
		}
		fmt.Fprintln(c.Out, "The service sysotel is installed; sysotel service start starts it.")
		return nil
	})
}

// absolutePaths makes the paths in options absolute, because a service starts in
// Windows' own directory.
func absolutePaths(options []string) ([]string, error) {
	made := make([]string, 0, len(options))
	next := false
	for _, option := range options {
		name, path, hasValue := strings.Cut(option, "=")
		isPath := "-"+strings.TrimLeft(name, "-") == "-config" || "-"+strings.TrimLeft(name, "-") == "-data-dir"
		switch {
		case next:
			absolute, err := filepath.Abs(option)
			if err != nil {
				return nil, err
			}
			option, next = absolute, false
		case isPath && hasValue:
			absolute, err := filepath.Abs(path)
			if err != nil {
				return nil, err
			}
			option = name + "=" + absolute
		case isPath:
			next = true
		}
		made = append(made, option)
	}
	return made, nil
}

func (c Call) startService(s *mgr.Service) error {
	if err := s.Start(); errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
		return errors.New("the service runs already")
	} else if err != nil {
		return fmt.Errorf("start the service: %w", err)
	}
	status, err := c.await(s, svc.Running)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "The service runs as process %d.\n", status.ProcessId)
	return nil
}

func (c Call) stopService(s *mgr.Service) error {
	if _, err := s.Control(svc.Stop); errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return errors.New("the service does not run")
	} else if err != nil {
		return fmt.Errorf("stop the service: %w", err)
	}
	if _, err := c.await(s, svc.Stopped); err != nil {
		return err
	}
	fmt.Fprintln(c.Out, "The service has stopped.")
	return nil
}

func (c Call) reloadService(s *mgr.Service) error {
	if _, err := s.Control(svc.ParamChange); err != nil {
		return fmt.Errorf("reload the service: %w", err)
	}
	fmt.Fprintln(c.Out, "The service reads its configuration again; sysotel health says whether it can use it.")
	return nil
}

func (c Call) removeService(s *mgr.Service) error {
	if _, err := s.Control(svc.Stop); err == nil {
		if _, err := c.await(s, svc.Stopped); err != nil {
			return err
		}
	} else if !errors.Is(err, windows.ERROR_SERVICE_NOT_ACTIVE) {
		return fmt.Errorf("stop the service: %w", err)
	}
	if err := s.Delete(); err != nil {
		return fmt.Errorf("remove the service: %w", err)
	}
	_ = eventlog.Remove(serviceName) // It may have been missing.
	fmt.Fprintln(c.Out, "The service is removed; its data and configuration stay.")
	return nil
}

// states are the words for the states of a service.
var states = map[svc.State]string{
	svc.Stopped: "stopped", svc.StartPending: "starting", svc.StopPending: "stopping", svc.Running: "running",
	svc.ContinuePending: "resuming", svc.PausePending: "pausing", svc.Paused: "paused",
}

func (c Call) showService(s *mgr.Service) error {
	status, err := s.Query()
	if err != nil {
		return fmt.Errorf("ask for the service: %w", err)
	}
	fmt.Fprint(c.Out, states[status.State])
	if status.ProcessId != 0 {
		fmt.Fprintf(c.Out, ", process %d", status.ProcessId)
	}
	if code := exitCode(status); status.State == svc.Stopped && code != 0 {
		fmt.Fprintf(c.Out, ", exit code %d", code)
	}
	fmt.Fprintln(c.Out)
	return nil
}

// exitCode is the exit code of a service that has stopped; 1077 says that it has not run
// since the boot.
func exitCode(status svc.Status) uint32 {
	switch {
	case status.Win32ExitCode == uint32(windows.ERROR_SERVICE_SPECIFIC_ERROR):
		return status.ServiceSpecificExitCode
	case status.Win32ExitCode == uint32(windows.ERROR_SERVICE_NEVER_STARTED):
		return 0
	}
	return status.Win32ExitCode
}

// await waits until the service has a state.
func (c Call) await(s *mgr.Service, want svc.State) (svc.Status, error) {
	often := time.NewTicker(100 * time.Millisecond)
	defer often.Stop()
	for deadline := time.After(serviceWait); ; {
		status, err := s.Query()
		switch {
		case err != nil:
			return status, fmt.Errorf("ask for the service: %w", err)
		case status.State == want:
			return status, nil
		case status.State == svc.Stopped:
			return status, fmt.Errorf("the service has stopped with exit code %d; the event log says why, in Application, source sysotel", exitCode(status))
		}
		select {
		case <-c.Stop.Done():
			return status, c.Stop.Err()
		case <-deadline:
			return status, fmt.Errorf("the service is %s after %s; the event log may say why, in Application, source sysotel", states[status.State], serviceWait)
		case <-often.C:
		}
	}
}
