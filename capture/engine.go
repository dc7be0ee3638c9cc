package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/redact"
)

// Engine captures. One serves a whole program; it is safe for concurrent use.
type Engine struct {
	cfg      Config
	redactor *redact.Engine
	layout   atomic.Pointer[layout]
	info     atomic.Pointer[debugInfo]
	symbols  atomic.Pointer[symbols]
	globals  atomic.Pointer[globals]
	types    *typeTable
	program  program
	started  time.Time

	busy    chan struct{} // held during phase one
	pending atomic.Int64  // bytes held by snapshots
	ready   chan struct{} // closed when debug info is loaded, or known to be missing
	idle    chan struct{} // closed when nothing is read in advance any more
	infoErr error         // why there is no debug info; set before ready is closed
}

// program is what is known of the running program.
type program struct {
	host, executable, goVersion string
	build                       *debug.BuildInfo
	own                         []string // module path prefixes of code that is not the standard library's
}

// New makes an engine and begins to load the program's debug info in the background,
// which takes a few milliseconds, or, when it must be unpacked first, up to half a second of one core, depending on
// the size of the program. Captures made before that is done find variables later; see [Engine.Ready].
func New(cfg Config) (*Engine, error) {
	cfg.fill()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, redactor: cfg.Redactor, busy: make(chan struct{}, 1), ready: make(chan struct{}), idle: make(chan struct{}), started: time.Now()}
	if e.redactor == nil {
		r, err := redact.New(redact.DefaultConfig())
		if err != nil {
			return nil, err
		}
		e.redactor = r
	}
	m, ok := thisModule()
	if !ok {
		// Without the bounds of the type data no type can be believed.
		m = module{}
	}
	l := go126
	e.layout.Store(&l)
	e.symbols.Store(&symbols{})
	e.types = newTypeTable(self{}, m, &e.layout, &e.info)
	e.types.secret = func(name string) bool { _, is := e.redactor.SecretName(name); return is }
	e.program = thisProgram()
	go e.load()
	return e, nil
}

func thisProgram() program {
	p := program{goVersion: runtime.Version()}
	p.host, _ = os.Hostname()
	p.executable, _ = os.Executable()
	if bi, ok := debug.ReadBuildInfo(); ok {
		p.build = bi
		for _, d := range append([]*debug.Module{&bi.Main}, bi.Deps...) {
			if d.Path != "" {
				p.own = append(p.own, d.Path)
			}
		}
		if bi.Path != "" {
			p.own = append(p.own, bi.Path)
		}
	}
	return p
}

// loaded is the running program's debug info. It is read once, however many engines
// there are, and stays as long as the process does.
type loaded struct {
	symbols *symbols
	info    *debugInfo
	layout  layout
	err     error // why there is no info
}

var errNoRoom = errors.New("the limit of the address space (RLIMIT_AS, ulimit -v) leaves no room for it")

// running is what was loaded by the first engine, or, if that has found none, by the
// latest.
var running struct {
	mu   sync.Mutex
	done bool
	loaded
	cfg  DebugInfo
	warn func(error)
}

func load(cfg *DebugInfo, warn func(error)) loaded {
	running.mu.Lock()
	defer running.mu.Unlock()
	if !running.done || running.err != nil {
		running.loaded = loadRunning(cfg, warn)
		running.done, running.cfg, running.warn = true, *cfg, warn
	}
	return running.loaded
}

func loadRunning(cfg *DebugInfo, warn func(error)) (l loaded) {
	defer func() {
		if p := recover(); p != nil {
			l.info, l.err = nil, fmt.Errorf("reading debug info failed: %v", p)
		}
	}()
	l.layout = go126
	if !haveStack {
		l.err = fmt.Errorf("variables cannot be read on %s/%s", runtime.GOOS, runtime.GOARCH)
		return l
	}
	exe, bias, err := openExecutable()
	if err != nil {
		l.err = err
		return l
	}
	l.symbols = exe.findSymbols(bias)
	o, _, err := findDebugInfo(exe, cfg)
	if err != nil {
		l.err = err
		return l
	}
	if o != exe && l.symbols.allgs == 0 {
		l.symbols = o.findSymbols(bias)
	}
	if !haveRoom(8 * int64(len(o.data))) { // debug info is compressed
		l.err = fmt.Errorf("reading debug info: %w", errNoRoom)
		return l
	}
	l.info, l.err = openDebugInfo(o, bias, cfg.cache(warn))
	if l.info == nil {
		return l
	}
	l.info.dicts = l.symbols.dicts
	if !strings.HasPrefix(runtime.Version(), "go1.26") {
		l.layout = l.info.layout(go126)
	}
	return l
}

// load reads the debug info of the running program.
func (e *Engine) load() {
	defer close(e.idle)
	guarded(func() {
		e.loadInfo()
		close(e.ready)
		if di := e.info.Load(); di != nil {
			e.warm(di)
		}
	})
}

func (e *Engine) loadInfo() {
	var warned sync.Once
	warn := func(err error) {
		if e.cfg.Warn != nil {
			warned.Do(func() { go e.cfg.Warn(err) })
		}
	}
	l := load(&e.cfg.DebugInfo, warn)
	e.infoErr = l.err
	if l.symbols != nil {
		e.symbols.Store(l.symbols)
	}
	defer func() { _ = recover() }() // what follows makes dumps better
	if e.symbols.Load().allgs == 0 && haveStack {
		s := *e.symbols.Load()
		s.allgs = findAllgs(e.types.module, &go126)
		e.symbols.Store(&s)
	}
	if l.info == nil {
		return
	}
	e.layout.Store(&l.layout)
	e.info.Store(l.info)
	if len(e.cfg.Variables) > 0 {
		e.globals.Store(e.findGlobals(l.info, e.cfg.Variables))
	}
}

// maxWarm is how much debug info is gone through in advance.
const maxWarm = 16 << 20

// warm reads what a failing request will ask for first: where the functions of the
// program's own packages are, and of those that call them.
func (e *Engine) warm(di *debugInfo) {
	defer func() { _ = recover() }()
	left := maxWarm
	for _, u := range di.units {
		if u.name == "runtime" || u.name == "net/http" || e.isMain(u.name) {
			if left -= int(u.end - u.off); left < 0 {
				return
			}
			di.functionsOf(u)
			runtime.Gosched()
		}
	}
}

// isMain reports whether a package is of the program's main module.
func (e *Engine) isMain(pkg string) bool {
	if pkg == "main" {
		return true
	}
	if e.program.build == nil || e.program.build.Main.Path == "" {
		return false
	}
	rest, ok := strings.CutPrefix(pkg, e.program.build.Main.Path)
	return ok && (rest == "" || rest[0] == '/')
}

// Ready waits until the program's debug info is loaded. It returns nil if it is,
// the context's error, or why there is none; captures then go without variables.
func (e *Engine) Ready(ctx context.Context) error {
	select {
	case <-e.ready:
		return e.infoErr
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits for the loading of debug info to end. Snapshots must not be made or
// encoded afterwards.
func (e *Engine) Close() error {
	<-e.idle
	return nil
}

// Redactor returns the engine that judges texts.
func (e *Engine) Redactor() *redact.Engine { return e.redactor }

// isUser reports whether a function belongs to the program rather than to the
// standard library, OpenTelemetry or otelcoredumpy. A closure of ours that was inlined
// bears the name of the function that it was inlined into; its file tells.
func (e *Engine) isUser(fn, file string) bool {
	if fn == "" || isWrap(fn) || isOurs(dirOf(file)) && !strings.HasSuffix(file, "_test.go") {
		return false
	}
	pkg := packageOf(fn)
	if pkg == "main" || strings.HasPrefix(pkg, "plugin/unnamed-") { // a plugin's main package that was built from files
		return true
	}
	if isOurs(pkg) || strings.HasPrefix(pkg, "go.opentelemetry.io/") {
		return false
	}
	for _, m := range e.program.own {
		if strings.HasPrefix(pkg, m) && (len(pkg) == len(m) || pkg[len(m)] == '/') {
			return true
		}
	}
	// A module's path has a dot in its first element unless it is not published;
	// the standard library's have none.
	first, _, _ := strings.Cut(pkg, "/")
	return strings.Contains(first, ".")
}

// dirOf returns the import path of our package that a source file belongs to, as far
// as it is one of ours: the folder's name with what comes before this module's root replaced by its path.
func dirOf(file string) string {
	dir := path.Dir(file)
	rest, ok := strings.CutPrefix(dir, ownRoot)
	if !ok || ownRoot == "" || strings.HasSuffix(file, "_test.go") {
		return dir
	}
	return ownPath + rest
}

// ownRoot is the folder of this module's root, as the compiler has written it.
var ownRoot = func() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return ""
	}
	return path.Dir(path.Dir(file))
}()

const ownPath = "github.com/otelcoredumpy/otelcoredumpy"

// isOurs reports whether a package is part of the machinery that captures. The
// examples and tests of this module are programs like any other.
func isOurs(pkg string) bool {
	rest, ok := strings.CutPrefix(pkg, ownPath)
	if !ok {
		return false
	}
	switch rest {
	case "", "/exporter", "/capture", "/redact", "/dump", "/sink":
		return true
	}
	return strings.HasPrefix(rest, "/sink/")
}
