package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"sysotel/instruments/sanitize"
)

// ErrBackupRefused is wrapped by errors about the requested directory; their text
// is for the caller.
var ErrBackupRefused = errors.New("no backup can be written there")

// ErrBackupNotYet is wrapped by errors that pass by themselves; their text is for the
// caller.
var ErrBackupNotYet = errors.New("no backup is possible yet")

// BackupRequest is the request of /backup.
type BackupRequest struct {
	Directory   string `json:"directory" minLength:"1" maxLength:"4096" doc:"Absolute path of a directory on the agent's machine that is empty or does not exist." example:"/var/backups/sysotel"`
	WithSecrets bool   `json:"with_secrets,omitempty" doc:"Also copies the users, their hashed passwords and the hashed API tokens. Never copied are sessions and signing keys."`
}

// BackupAnswer is the response of /backup.
type BackupAnswer struct {
	Directory string  `json:"directory" doc:"Where the copy is. An agent started with it as data_dir continues from there."`
	Seconds   float64 `json:"seconds" doc:"Duration of the backup in seconds."`
}

type backupOutput struct{ Body BackupAnswer }

// backupInput is the request.
type backupInput struct{ Body BackupRequest }

// Backup registers the operations of this file.
func (operations) Backup(s *Server) {
	register(s, Operation{
		ID: "make-backup", Method: http.MethodPost, Path: "/api/v1/backup",
		Summary: "Back up the history",
		Description: "Writes a consistent copy of the store, the records and the alerts to a directory on the agent's machine while both stay in use. " +
			"To restore it, start an agent with that directory, or a copy of it, as data_dir. The copy has no users and API tokens unless with_secrets is set.",
		Access:  Access{Role: Admin, Cost: Query, Concurrent: 1, Guarded: true},
		Example: BackupAnswer{Directory: "/var/backups/sysotel", Seconds: 0.4},
		Errors:  []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *backupInput) (*backupOutput, error) {
		if s.options.Backup == nil {
			return nil, notKept("backups", "keeps no history")
		}
		begun := time.Now()
		err := s.options.Backup(ctx, in.Body.Directory, in.Body.WithSecrets)
		if errors.Is(err, ErrBackupNotYet) {
			return nil, problem(http.StatusServiceUnavailable, "The backup failed: "+sanitize.ValidUTF8(err.Error())+".")
		}
		if errors.Is(err, ErrBackupRefused) {
			return nil, problem(http.StatusUnprocessableEntity, "The backup failed: "+sanitize.ValidUTF8(err.Error())+".", invalidValue("body.directory", sanitize.ValidUTF8(in.Body.Directory), "must be the absolute path of a writable directory that is empty or does not exist"))
		}
		if err != nil {
			return nil, err
		}
		return &backupOutput{BackupAnswer{Directory: in.Body.Directory, Seconds: time.Since(begun).Seconds()}}, nil
	})
}
