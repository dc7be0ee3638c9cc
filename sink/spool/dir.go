package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// DefaultDir returns where the spool of this user lies if nobody says otherwise:
// $XDG_STATE_HOME/coredumpy/spool, else ~/.local/state/coredumpy/spool
// (%LocalAppData%\coredumpy\spool on Windows), and for a user without a home
// coredumpy-<uid>/spool in the folder for temporary files. What lies in the
// latter may not survive a restart of the machine.
func DefaultDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "coredumpy", "spool"), nil
	}
	if runtime.GOOS == "windows" {
		if dir := os.Getenv("LocalAppData"); filepath.IsAbs(dir) {
			return filepath.Join(dir, "coredumpy", "spool"), nil
		}
	} else if home := os.Getenv("HOME"); filepath.IsAbs(home) && home != "/" && isDir(home) {
		return filepath.Join(home, ".local", "state", "coredumpy", "spool"), nil
	}
	tmp := os.TempDir()
	if !filepath.IsAbs(tmp) {
		return "", fmt.Errorf("spool: no place for it: no home folder, and the folder for temporary files is %q", tmp)
	}
	name := "coredumpy"
	if uid := os.Getuid(); uid >= 0 {
		name = fmt.Sprintf("coredumpy-%d", uid)
	}
	return filepath.Join(tmp, name, "spool"), nil
}

// isDir keeps a HOME from being believed that is a folder which is not there, such
// as /nonexistent. Neither is "/", which a container's user without an entry in
// the list of users gets.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
