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
	infoErr error         // why there is no debug info; set before ready is closed
}

// program is what is known of the running program.
type program struct {
	host, executable, goVersion string
	build                       *debug.BuildInfo
	own                         []string // module path prefixes of code that is not the standard library's
}

// New makes an engine and begins to load the program's debug info in the background,
// which takes 20 ms to half a second of one core, depending on the size of the
// program. Captures made before that is done find variables later; see [Engine.Ready].
func New(cfg Config) (*Engine, error) {
	cfg.fill()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, redactor: cfg.Redactor, busy: make(chan struct{}, 1), ready: make(chan struct{}), started: time.Now()}
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

var running = sync.OnceValue(func() (l loaded) {
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
	f, bias, err := openExecutable()
	if err != nil {
		l.err = err
		return l
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && !haveRoom(8*fi.Size()) { // debug info is compressed
		l.err = fmt.Errorf("reading debug info: %w", errNoRoom)
		return l
	}
	l.symbols, l.info, l.err = openDebugInfo(f, bias)
	if l.info != nil && !isGo126 {
		l.layout = l.info.layout(go126)
	}
	return l
})

// load reads the debug info of the running program.
func (e *Engine) load() {
	defer close(e.ready)
	l := running()
	e.infoErr = l.err
	if l.symbols != nil {
		e.symbols.Store(l.symbols)
	}
	defer func() { _ = recover() }() // what follows makes dumps better, or saves time later
	if e.symbols.Load().allgs == 0 && haveStack && isGo126 {
		s := *e.symbols.Load()
		s.allgs = findAllgs(e.types.module, &go126)
		e.symbols.Store(&s)
	}
	if l.info == nil {
		return
	}
	e.layout.Store(&l.layout)
	e.info.Store(l.info)
	// What a failing request will ask for first: the functions of the program's own
	// packages and of those that call them.
	for _, u := range l.info.units {
		if u.name == "runtime" || u.name == "net/http" || e.isUser(u.name+".f", "") {
			l.info.functionsOf(u)
		}
	}
	if len(e.cfg.Variables) > 0 {
		e.globals.Store(e.findGlobals(l.info, e.cfg.Variables))
	}
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
	<-e.ready
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
	if pkg == "main" {
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
