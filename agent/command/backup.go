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

// backupLimit bounds the wait for the agent.
const backupLimit = 10 * time.Minute

func backupCommand() command {
	return command{
		name: "backup", summary: "copy the running agent's history into a directory",
		details: "The directory must be empty or missing. To restore the backup, start sysotel run\n--data-dir on a copy of it. Without --with-secrets the copy has no users and API\ntokens; it never has sessions and signing keys.",
		flags:   []commandFlag{{name: "--with-secrets", help: "also copy the users and API tokens, hashed"}},
		args:    "DIR", options: agentOptions, run: runBackup,
		examples: []string{"sysotel backup /mnt/backup/sysotel-2026-01-31", "sysotel backup --with-secrets /mnt/backup/whole"},
	}
}

// runBackup has the running agent copy its history into a directory.
func runBackup(c Call) int {
	dir, err := filepath.Abs(c.words[0])
	if err != nil {
		return c.fail(err)
	}
	_, secrets := c.flags["--with-secrets"]
	request, err := json.Marshal(api.BackupRequest{Directory: dir, WithSecrets: secrets})
	if err != nil {
		return c.fail(err)
	}
	var reply struct {
		api.BackupAnswer
		Detail string `json:"detail"`
	}
	status, err := c.send(http.MethodPost, "/api/v1/backup", bytes.NewReader(request), backupLimit, &reply)
	if err != nil {
		return c.fail(err)
	}
	if status != http.StatusOK {
		return c.fail(fmt.Errorf("the agent refuses: %s", reply.Detail))
	}
	fmt.Fprintf(c.Out, "The history is in %s after %.1f s. To restore it, start sysotel run --data-dir on a copy.\n", dir, reply.Seconds)
	return 0
}
