package auth

import (
	"fmt"
	"os"
	"path/filepath"
)

// Backup writes the users and the API tokens into a directory that must not exist,
// hashed as in the original. Sessions and the keys of access tokens are left out:
// a reader of the copy could use them on the running agent, and an agent that is
// started on the copy makes its own.
func (a *Auth) Backup(dir string) error {
	if locked := a.locked.Load(); locked != nil { // An agent on the copy would open the first setup.
		return fmt.Errorf("back up the accounts: they are damaged: %w", *locked)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("back up the accounts: %w", err)
	}
	kept := a.current.Load().copy()
	kept.Sessions = nil
	if err := writeFile(filepath.Join(dir, accountsFile), kept); err != nil {
		return fmt.Errorf("back up the accounts: %w", err)
	}
	return nil
}
