package command

import (
	"fmt"
	"net/http"

	"sysotel/agent/health"
	"sysotel/api"
)

func healthCommand() command {
	return command{
		name: "health", summary: "print the health of the running agent",
		details: "The exit code is 1 if the agent has failed or does not respond, for container\nhealth checks.",
		options: agentOptions, run: runHealth,
		examples: []string{"sysotel health", "sysotel health --data-dir /srv/sysotel"},
	}
}

// runHealth prints the status of the running agent and of what is not OK.
func runHealth(c Call) int {
	var response api.Health
	status, err := c.get("/api/v1/health", &response)
	if err != nil {
		return c.fail(err)
	}
	fmt.Fprintln(c.Out, response.Status)
	for _, p := range response.Parts {
		if p.Status != health.OK {
			fmt.Fprintf(c.Out, "%s is %s: %q\n", p.Name, p.Status, p.Reason)
		}
	}
	if status != http.StatusOK {
		return 1
	}
	return 0
}
