package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"sysotel/agent/app"
	"sysotel/agent/config"
	"sysotel/instruments"
	"sysotel/instruments/permissions"
	"sysotel/instruments/sanitize"
)

// maxWarnings bounds the rules that are named: a public rule file has hundreds.
const maxWarnings = 100

// checkTimeout bounds the check of permissions.
const checkTimeout = 10 * time.Second

func checkCommand() command {
	return command{
		name: "check", summary: "validate the configuration and report missing permissions",
		details: "Run it as the user that the agent will run as. It opens what the agent opens,\nsuch as ports, certificates and rule files, and starts nothing. The exit code\nis 1 if the agent could not start.",
		options: allOptions, run: runCheck,
		examples: []string{"sysotel check --config /etc/sysotel/sysotel.yaml", "sudo -u sysotel sysotel check"},
	}
}

// runCheck loads the configuration as run would and reports what the agent cannot
// do with the permissions of this user.
func runCheck(c Call) int {
	loaded, ok := c.load()
	if !ok {
		return 1
	}
	fmt.Fprintln(c.Out, "the configuration is valid")
	measured := c.measured()
	unmeasured := loaded.Unmeasured(measured)
	for i, warning := range unmeasured {
		if i == maxWarnings {
			fmt.Fprintf(c.Out, "and %d more rules\n", len(unmeasured)-maxWarnings)
			break
		}
		fmt.Fprintf(c.Out, "warning: %s\n", sanitize.ReplaceUnprintable(warning))
	}
	if len(unmeasured) > 0 && measured == nil {
		fmt.Fprintln(c.Out, "(no agent runs with this data_dir: names of custom metrics are not known)")
	}
	ctx, cancel := context.WithTimeout(c.Stop, checkTimeout)
	defer cancel()
	root := loaded.Instruments.Host.Root
	if root == "" {
		root = instruments.DetectRoot()
	}
	limits := permissions.Check(ctx, instruments.NewHost(root), loaded.Instruments)
	own, rest := ownLimits(ctx, loaded)
	limits = append(limits, own...)
	hideFromSDK(c.Env)
	warnings, errs := app.Check(app.Options{Config: rest, Version: c.Version})
	for _, warning := range warnings {
		fmt.Fprintf(c.Out, "warning: %s\n", sanitize.ReplaceUnprintable(warning))
	}
	code := min(len(own), 1) // Said below.
	for _, err := range errs {
		code = c.fail(fmt.Errorf("the agent cannot start: %w", err))
	}
	switch user := os.Geteuid(); {
	case user == 0:
		fmt.Fprintf(c.Out, "warning: you are root, which the agent needs only %s; run check as the agent's user to see what that user lacks\n", permissions.NeedsRoot)
	case user > 0 && len(limits) > 0:
		fmt.Fprintf(c.Out, "missing permissions of this user (%d):\n", user)
	case user > 0:
		fmt.Fprintf(c.Out, "this user (%d) has all permissions\n", user)
	}
	for _, l := range limits {
		fmt.Fprintf(c.Out, "- %s\n  needed: %s\n", sanitize.ReplaceUnprintable(l.What), l.Remedy)
	}
	fmt.Fprint(c.Out, app.InPlaceOfNodeExporter(root))
	return code
}

// measured are the names of the metrics in the history of the agent that runs, nil if
// none runs.
func (c Call) measured() []string {
	var names struct{ Data []string }
	if status, err := c.get("/prometheus/api/v1/label/__name__/values", &names); err != nil || status != http.StatusOK {
		return nil
	}
	return names.Data
}

// ownLimits tries to use the files and ports of the agent itself. rest is the configuration
// without those that this user may not use.
func ownLimits(ctx context.Context, c config.Config) (limits []permissions.Limit, rest config.Config) {
	rest = c
	if err := writable(c.DataDir); errors.Is(err, fs.ErrPermission) {
		limits = append(limits, permissions.Limit{What: fmt.Sprintf("the agent cannot start: data_dir cannot be written: %v", err), Remedy: "a data_dir that this user can write"})
		rest.DataDir = ""
	}
	if c.Log.File != "" {
		if err := writable(filepath.Dir(c.Log.File)); errors.Is(err, fs.ErrPermission) {
			limits = append(limits, permissions.Limit{What: fmt.Sprintf("the agent cannot start: log.file cannot be written: %v", err), Remedy: "a log.file in a directory that this user can write, or none, for standard error"})
			rest.Log.File = ""
		}
	}
	for _, listen := range []struct {
		option  string
		address *string
		instead string
	}{{"http.listen", &rest.API.HTTP.Listen, "127.0.0.1:0"}, {"tls.redirect", &rest.API.TLS.Redirect, ""}, {"prometheus.listen", &rest.Export.Prometheus.Listen, ""}} {
		address := *listen.address
		if address == "" {
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err == nil {
			_ = l.Close()
		}
		if errors.Is(err, fs.ErrPermission) {
			limits = append(limits, permissions.Limit{What: fmt.Sprintf("the agent cannot start: %s: this user may not listen on %s", listen.option, address), Remedy: portRemedy})
			*listen.address = listen.instead
		}
	}
	return limits, rest
}

// portRemedy is how to listen on a port below 1024.
const portRemedy = "a port from 1024 up; on Linux, the capability CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start"

// writable tries to create a file in a directory or, if that does not exist, in its
// nearest parent that does, and removes it again.
func writable(dir string) error {
	for {
		f, err := os.CreateTemp(dir, ".sysotel-check-")
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return err
		}
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}
}
