package command

import (
	"fmt"
	"net/http"

	"sysotel/api"
)

// runHealth prints how the running agent fares, for people and container checks.
func runHealth(c Call) int {
	var health api.Health
	status, err := c.ask("/api/v1/health", &health)
	if err != nil {
		return c.fail(err)
	}
	fmt.Fprintln(c.Out, health.Status)
	for _, p := range health.Parts {
		if p.Status != api.OK {
			fmt.Fprintf(c.Out, "%s is %s: %q\n", p.Name, p.Status, p.Reason)
		}
	}
	if status != http.StatusOK {
		return 1
	}
	return 0
}
