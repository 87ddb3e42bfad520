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
	agent, err := app.New(app.Options{Config: loaded, Version: c.Version, Out: c.Out})
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
		// What could not be sent any more is said, but the agent did stop as it was
		// told to: to whoever watches it that is no failure.
		if err := agent.Stop(); err != nil {
			c.fail(err)
		}
		return code
	}
}
