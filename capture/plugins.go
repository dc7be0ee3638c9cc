package capture

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Code that came by plugin.Open has a moduledata of its own (runtime/symtab.go), its
// own types, and its own debug info in its own file.

// plugin is a module besides the one that the program began with.
type plugin struct {
	module
	name string        // the plugin's import path
	done chan struct{} // closed when info and why do not change any more
	why  string        // why it has no info
	info atomic.Pointer[debugInfo]
}

// pluginSet are the plugins of the process, as far as they were seen.
type pluginSet struct {
	list atomic.Pointer[[]*plugin]
	mu   sync.Mutex // of those that add to list
	seen map[uint64]bool
}

var plugins pluginSet

// maxPlugins bounds the list, which is the runtime's and has an end unless it is damaged.
const maxPlugins = 256

// all returns the plugins that were seen.
func (ps *pluginSet) all() []*plugin {
	if l := ps.list.Load(); l != nil {
		return *l
	}
	return nil
}

// at returns the plugin with the code at pc, nil if that is not a plugin's.
func (ps *pluginSet) at(pc uint64) *plugin {
	for _, p := range ps.all() {
		if pc >= p.text && pc < p.etext {
			return p
		}
	}
	return nil
}

// look looks for plugins that were opened since the last time, and begins to read their
// debug info on another goroutine. Where there are none it reads one word. The goroutine that calls it
// is guarded.
func (ps *pluginSet) look(l *layout) {
	at := thisModuleAddr()
	if at == 0 {
		return
	}
	mem := reader{Memory: self{}}
	next, err := mem.word(at + l.mdNext)
	if err != nil || next == 0 {
		return
	}
	if !ps.mu.TryLock() {
		return // somebody else is at it
	}
	defer ps.mu.Unlock()
	if ps.seen == nil {
		ps.seen = map[uint64]bool{}
	}
	for n := 0; next != 0 && n < maxPlugins; n++ {
		at := next
		if next, err = mem.word(at + l.mdNext); err != nil {
			return
		}
		if ps.seen[at] {
			continue
		}
		m, ok := readModule(at)
		if !ok {
			return
		}
		ps.seen[at] = true
		p := &plugin{module: m, done: make(chan struct{})}
		p.name, _ = readString(self{}, at+l.mdPluginPath, 1<<10)
		list := append(append([]*plugin(nil), ps.all()...), p)
		ps.list.Store(&list)
		go p.load()
	}
}

// load reads the plugin's debug info.
func (p *plugin) load() {
	defer close(p.done)
	defer func() {
		if r := recover(); r != nil {
			p.why = fmt.Sprintf("reading debug info failed: %v", r)
		}
	}()
	guarded(func() {
		o, bias, err := openMapped(p.text)
		if err != nil {
			p.why = err.Error()
			return
		}
		running.mu.Lock()
		cfg, warn := running.cfg, running.warn
		running.mu.Unlock()
		f, _, err := findDebugInfo(o, &cfg)
		if err != nil {
			p.why = err.Error()
			return
		}
		di, err := openDebugInfo(f, bias, cfg.cache(warn))
		if err != nil {
			p.why = err.Error()
			return
		}
		di.types = p.types
		di.dicts = f.findSymbols(bias).dicts
		p.info.Store(di)
	})
}

// missing says why the plugin's frames have no variables, "" if they may have some.
func (p *plugin) missing() string {
	if p.info.Load() != nil {
		return ""
	}
	select {
	case <-p.done:
		return p.why
	default:
		return "its debug info was not yet loaded"
	}
}

// imageAt returns the debug info for the code at pc: di, or that of a plugin; nil if
// the plugin has none.
func (di *debugInfo) imageAt(pc uint64) *debugInfo {
	if p := plugins.at(pc); p != nil {
		return p.info.Load()
	}
	return di
}

// moduleOf returns the module that has the type at addr.
func (tt *typeTable) moduleOf(addr uint64) *module {
	for _, p := range plugins.all() {
		if addr >= p.types && addr < p.etypes {
			return &p.module
		}
	}
	return &tt.module
}

// coldPlugin reports whether the goroutine's stack has code of a plugin whose debug info is
// being read.
func (s *Snapshot) coldPlugin() *plugin {
	if len(plugins.all()) == 0 {
		return nil
	}
	for _, pc := range s.pcs {
		if p := plugins.at(uint64(pc)); p != nil {
			select {
			case <-p.done:
			default:
				return p
			}
		}
	}
	return nil
}

// runtimeRow is frameTable.at by the runtime's own tables (runtime.funcspdelta), for
// code that has no frame table.
func runtimeRow(mem *reader, l *layout, pc uint64) (row frameRow, ok bool) {
	fi := findfunc(uintptr(pc))
	if fi.fn == nil || fi.module == nil {
		return row, false
	}
	fn, mod := uint64(uintptr(fi.fn)), uint64(uintptr(fi.module))
	h, err := mem.word(fn)
	if err != nil {
		return row, false
	}
	entry := h & 0xffffffff
	off, err1 := mem.word(fn + l.funcPcsp)
	text, err2 := mem.word(mod + mdText)
	if err1 != nil || err2 != nil {
		return row, false
	}
	delta, ok := pcValue(mem, l, mod, off&0xffffffff, text+entry, pc)
	if !ok || delta < 0 {
		return row, false
	}
	row = frameRow{cfaReg: spReg(), cfaOff: int64(delta)}
	if runtime.GOARCH == "amd64" {
		row.cfaOff, row.raOff = int64(delta)+8, -8
		return row, true
	}
	row.raOff, row.raReg = -int64(delta), delta == 0
	return row, true
}
