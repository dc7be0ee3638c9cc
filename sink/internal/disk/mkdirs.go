package disk

import (
	"errors"
	"io/fs"
	"path"
	"sync"
)

// Made makes folders inside a [Folder] and remembers which of them are on the
// disk for certain. The zero value is ready.
type Made struct {
	// Forget, if set, says which folders are not worth remembering.
	Forget func(dir string) bool

	mu     sync.Mutex
	synced map[string]struct{}
}

// Mkdirs makes a folder and its parents, and sees to it that they survive a
// power failure.
func (m *Made) Mkdirs(root Folder, dir string, mode fs.FileMode) error {
	for i := 0; i <= len(dir); i++ {
		if i < len(dir) && dir[i] != '/' {
			continue
		}
		name := dir[:i]
		err := root.Mkdir(name, mode)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err != nil {
			if m.known(name) {
				continue
			}
			info, err := root.Lstat(name)
			if err != nil {
				return err
			}
			if !info.IsDir() {
				return &fs.PathError{Op: "mkdir", Path: name, Err: ErrNotDir}
			}
		}
		// Also if it was there already: whoever made it may not have got this
		// far.
		if err := root.SyncDir(path.Dir(name)); err != nil {
			return err
		}
		m.remember(name)
	}
	return nil
}

func (m *Made) known(dir string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.synced[dir]
	return ok
}

func (m *Made) remember(dir string) {
	if m.Forget != nil && m.Forget(dir) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.synced == nil {
		m.synced = make(map[string]struct{})
	}
	m.synced[dir] = struct{}{}
}
