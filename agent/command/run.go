package command

import (
	"fmt"
	"strings"

	"sysotel/agent/app"
)

// runAgent runs the agent until it is told to stop.
func runAgent(c Call) int {
	loaded, ok := c.load()
	if !ok {
		return 1
	}
	agent, err := app.New(app.Options{Config: loaded, Version: c.Version})
	if err != nil {
		return c.fail(err)
	}
	agent.Start()
	code := 0
	for {
		select {
		case <-c.Stop.Done():
		case err := <-agent.Failed():
			code = c.fail(err)
		case <-c.Reload:
			// A mistake keeps the configuration that runs.
			if again, ok := c.load(); ok {
				if restart := agent.Reload(again); len(restart) > 0 {
					fmt.Fprintf(c.Err, "sysotel: hint: these changes need a restart: %s\n", strings.Join(restart, ", "))
				}
			}
			continue
		}
		if err := agent.Stop(); err != nil {
			return max(code, c.fail(err))
		}
		return code
	}
}
