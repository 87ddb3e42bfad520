package command

import (
	"os"
	"os/signal"
	"strings"
	"syscall"

	"sysotel/agent/app"
)

func runCommand() command {
	return command{
		name: "run", summary: "measure this machine until SIGTERM or Ctrl-C",
		details: "SIGHUP reloads the configuration.",
		options: allOptions, run: func(c Call) int { return underManager(c, runAgent) },
		examples: []string{"sysotel run", "sysotel run --http.listen 127.0.0.1:8090 --data-dir /srv/sysotel"},
	}
}

// runAgent runs the agent until c.Stop ends.
func runAgent(c Call) int {
	loaded, ok := c.load()
	if !ok {
		return 1
	}
	hideFromSDK(c.Env)
	// Without this a line that nobody reads any more ends the program, which systemd takes
	// for a clean end. Not ignored: custom commands would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	agent, err := app.New(app.Options{Config: loaded, Version: c.Version, Out: c.Out, Orphans: true, Stderr: c.log})
	if err != nil {
		return c.fail(err)
	}
	agent.Start()
	if c.started != nil {
		c.started()
	}
	supervisor := newSupervisor(agent, loaded.Sampling.Interval)
	supervisor.ready()
	due := supervisor.signs()
	defer due.Stop()
	code := 0
	for {
		select {
		case <-due.C:
			supervisor.sign()
			continue
		case <-c.Stop.Done():
		case err := <-agent.Failed():
			code = c.fail(err)
		case <-c.Reload:
			supervisor.reloading()
			if again, wrong := c.read(); len(wrong) > 0 {
				agent.ReloadFailed(wrong)
			} else {
				agent.Reload(again)
			}
			supervisor.ready()
			continue
		}
		supervisor.stopping()
		// Unsent readings are reported, but the agent did stop as requested: for its
		// supervisor that is no failure.
		if err := agent.Stop(); err != nil {
			c.fail(err)
		}
		return code
	}
}

// hideFromSDK takes the standard variables of the push out of the environment. The SDK
// reads them, too, and reports once more what it does not understand; they are part of
// the configuration already.
func hideFromSDK(env []string) {
	for _, variable := range env {
		name, _, _ := strings.Cut(variable, "=")
		for _, prefix := range []string{"OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_", "OTEL_METRIC_EXPORT_"} {
			if strings.HasPrefix(name, prefix) {
				_ = os.Unsetenv(name)
			}
		}
	}
}
