//go:build unix

package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

func TestTrust(t *testing.T) {
	const sticky = fs.ModeSticky
	type step struct {
		name string
		mode fs.FileMode // 0: a symbolic link
		link string
		uid  int // 0: mine
	}
	for _, tc := range []struct {
		name  string
		steps []step // each inside the one before, unless its name begins with "/"
		dir   string // below the top; the last folder if ""
		want  string // in the error; "" for none
		root  bool   // only root can set it up
	}{
		{"our own", []step{{"a", 0o755, "", 0}}, "", "", false},
		{"group may write", []step{{"a", 0o775, "", 0}, {"b", 0o755, "", 0}}, "", "", false},
		{"like /tmp", []step{{"tmp", 0o777 | sticky, "", 0}, {"a", 0o755, "", 0}, {"b", 0o755, "", 0}}, "", "", false},
		{"the shared one itself", []step{{"tmp", 0o777 | sticky, "", 0}}, "", "everybody may write to it", false},
		{"an open volume", []step{{"vol", 0o777, "", 0}, {"a", 0o755, "", 0}}, "", "", false},
		{"the open volume itself", []step{{"vol", 0o777, "", 0}}, "", "", false},
		{"an open volume of others", []step{{"vol", 0o777, "", 4242}, {"a", 0o777, "", 4243}}, "", "", true},
		{"group may write below", []step{{"tmp", 0o777 | sticky, "", 0}, {"a", 0o775, "", 0}, {"b", 0o755, "", 0}}, "", "chmod go-w", false},
		{"all may write below", []step{{"tmp", 0o777 | sticky, "", 0}, {"a", 0o757, "", 0}}, "", "chmod go-w", false},
		{"shared in shared", []step{{"tmp", 0o777 | sticky, "", 0}, {"a", 0o777 | sticky, "", 0}, {"b", 0o700, "", 0}}, "", "", false},
		{"somebody else's", []step{{"tmp", 0o777 | sticky, "", 0}, {"a", 0o755, "", 4242}, {"b", 0o755, "", 0}}, "", "belongs to user 4242", true},
		{"somebody else's elsewhere", []step{{"a", 0o755, "", 4242}, {"b", 0o755, "", 0}}, "", "", true},
		{"nobody else gets in", []step{{"a", 0o700, "", 0}, {"b", 0o777, "", 0}, {"c", 0o777, "", 0}}, "", "", false},
		{"private in what is not", []step{{"tmp", 0o777 | sticky, "", 0}, {"a", 0o777, "", 0}, {"b", 0o700, "", 0}}, "", "chmod go-w", false},
		{"a link of ours", []step{{"a", 0o755, "", 0}, {"/tmp", 0o777 | sticky, "", 0}, {"l", 0, "../a", 0}}, "tmp/l", "", false},
		{"a link of somebody else", []step{{"a", 0o755, "", 0}, {"/tmp", 0o777 | sticky, "", 0}, {"l", 0, "../a", 4242}}, "tmp/l", "belongs to user 4242", true},
		{"a link into the shared", []step{{"tmp", 0o777 | sticky, "", 0}, {"a", 0o775, "", 0}, {"/l", 0, "tmp/a", 0}}, "l", "chmod go-w", false},
		{"a ring of links", []step{{"l", 0, "m", 0}, {"/m", 0, "l", 0}}, "m", "too many", false},
		{"not there", []step{{"a", 0o755, "", 0}}, "b", "no such file", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.root && os.Geteuid() != 0 {
				t.Skip("only root can give a folder to somebody else")
			}
			// Of what t.TempDir makes nobody else may enter the parent.
			top, err := filepath.EvalSymlinks(t.TempDir())
			must(t, err)
			must(t, os.Chmod(filepath.Dir(top), 0o755))
			must(t, os.Chmod(top, 0o755))
			at := top
			for _, s := range tc.steps {
				if strings.HasPrefix(s.name, "/") {
					at = top
				}
				next := filepath.Join(at, s.name)
				if s.mode == 0 {
					must(t, os.Symlink(s.link, next))
				} else {
					must(t, os.Mkdir(next, 0o700))
					must(t, os.Chmod(next, s.mode))
					at = next
				}
				if s.uid != 0 {
					must(t, os.Lchown(next, s.uid, s.uid))
				}
			}
			dir := at
			if tc.dir != "" {
				dir = filepath.Join(top, tc.dir)
			}
			err = disk.OS.Trust(dir)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("Trust: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("Trust: %v, want %q in it", err, tc.want)
			case strings.Contains(tc.want, "user") && !errors.Is(err, fs.ErrPermission):
				t.Errorf("Trust: %v is not a missing permission", err)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := disk.OS.Trust(file); !errors.Is(err, disk.ErrNotDir) {
		t.Errorf("Trust of a file: %v", err)
	}
	if err := disk.OS.Trust("/"); err != nil {
		t.Errorf("Trust of the root: %v", err)
	}
}
