package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"sysotel/api"
)

// backupLimit is how long the command waits for the agent.
const backupLimit = 10 * time.Minute

// runBackup has the running agent copy its history into a directory. The copy is
// restored by starting an agent on it.
func runBackup(c Call) int {
	var dirs, rest []string
	for i := 0; i < len(c.Args); i++ {
		switch arg := c.Args[i]; {
		case !strings.HasPrefix(arg, "-"):
			dirs = append(dirs, arg)
		case strings.Contains(arg, "=") || i+1 == len(c.Args):
			rest = append(rest, arg)
		default: // An option and its value.
			rest = append(rest, arg, c.Args[i+1])
			i++
		}
	}
	c.Args = rest
	if len(dirs) != 1 || dirs[0] == "" {
		fmt.Fprintln(c.Err, "sysotel: error: backup needs one directory, which must be empty or missing: sysotel backup DIR")
		return 2
	}
	dir, err := filepath.Abs(dirs[0])
	if err != nil {
		return c.fail(err)
	}
	request, err := json.Marshal(api.BackupRequest{Directory: dir})
	if err != nil {
		return c.fail(err)
	}
	var answer struct {
		api.BackupAnswer
		Detail string `json:"detail"`
	}
	status, err := c.send(http.MethodPost, "/api/v1/backup", bytes.NewReader(request), backupLimit, &answer)
	if err != nil {
		return c.fail(err)
	}
	if status != http.StatusOK {
		return c.fail(fmt.Errorf("the agent refuses: %s", answer.Detail))
	}
	fmt.Fprintf(c.Out, "The history is in %s after %.1f s. To go on from it, start sysotel run --data-dir on a copy of it.\n", dir, answer.Seconds)
	return 0
}
