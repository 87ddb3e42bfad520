package command

import "fmt"

// runCheck loads the configuration as run would and starts nothing.
func runCheck(c Call) int {
	if _, ok := c.load(); !ok {
		return 1
	}
	fmt.Fprintln(c.Out, "the configuration is good")
	return 0
}
