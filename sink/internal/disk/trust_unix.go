//go:build unix

package disk

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks bounds the symbolic links that trust follows, as the kernel does.
const maxLinks = 40

// trust goes down the path and looks at each folder and link on it. A parent
// that is for everybody, as /tmp is, makes it ask who owns the child, and whether
// others may write to that. Below a folder that nobody else may enter it asks
// nothing.
func trust(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	at, rest := "/", names(abs)
	shared := false  // the parent is for everybody
	private := false // nobody else gets here
	links := 0
	for {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		mode := info.Mode()
		if shared && !private {
			if err := trustShared(at, info); err != nil {
				return err
			}
		}
		if mode&fs.ModeSymlink != 0 {
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			if links++; links > maxLinks {
				return &fs.PathError{Op: "trust", Path: abs, Err: syscall.ELOOP}
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(at), target)
			}
			// From the top again: the target has a path of its own.
			at, rest = "/", append(names(filepath.Clean(target)), rest...)
			shared, private = false, false
			continue
		}
		if !mode.IsDir() {
			return &fs.PathError{Op: "trust", Path: at, Err: ErrNotDir}
		}
		private = private || mode.Perm()&0o011 == 0 && ownerOf(info) == os.Geteuid()
		// Without the sticky bit it is no /tmp, but a volume that somebody has
		// opened on purpose, as Kubernetes does with an emptyDir.
		shared = mode.Perm()&0o002 != 0 && mode&fs.ModeSticky != 0
		if len(rest) == 0 {
			if shared && !private {
				return distrust(at, "everybody may write to it")
			}
			return nil
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

// trustShared is about what lies in a folder that everybody may write to.
func trustShared(at string, info fs.FileInfo) error {
	owner, me, mode := ownerOf(info), os.Geteuid(), info.Mode()
	switch {
	case owner != me && owner != 0:
		return distrust(at, "it lies in a folder for everybody and belongs to user %d, while this process is user %d", owner, me)
	case mode.IsDir() && mode.Perm()&0o022 != 0 && mode&fs.ModeSticky == 0:
		return distrust(at, "it lies in a folder for everybody, and its mode %04o lets others write to it; chmod go-w helps", mode.Perm())
	}
	return nil
}

func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

func distrust(at, format string, args ...any) error {
	return &fs.PathError{Op: "trust", Path: at, Err: fmt.Errorf("%w: "+format, append([]any{fs.ErrPermission}, args...)...)}
}

// names splits an absolute, clean path.
func names(abs string) []string {
	abs = strings.Trim(abs, "/")
	if abs == "" {
		return nil
	}
	return strings.Split(abs, "/")
}
