package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"sysotel/api"
)

// backupLimit is how long the command waits for the agent.
const backupLimit = 10 * time.Minute

// runBackup has the running agent copy its history into a directory. The copy is
// restored by starting an agent on it.
func runBackup(c Call) int {
	dirs, _ := c.takeWords()
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
