package redact

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	defaultEnvironMin = 9 // bytes: longer than 8, as in Python coredumpy
	secretEnvironMin  = 4 // of variables whose names are secret
	// maxNeedles and maxNeedleBytes bound how many different values are remembered.
	maxNeedles     = 4096
	maxNeedleBytes = 8 << 20
	// maxNeedle bounds the values themselves: what an exec can pass is bounded by the kernel
	// at 128 KiB a string.
	maxNeedle = 128 << 10
)

// needle is a text of the environment that must not go into a dump.
type needle struct {
	value string
	// secret: the variable's name says that it is a secret, so it is looked for
	// in paths and symbols, too.
	secret bool
	// word: only where neither letter nor digit adjoins, as it is short.
	word bool
	// whole: only if it is the whole text, as it is too common to be hidden as
	// a part.
	whole bool
	// at is where the keyword that the automaton knows begins in value.
	at, n int
}

// environ remembers the values of the environment.
type environ struct {
	mu      sync.Mutex
	seed    maphash.Seed
	last    uint64 // hash of the environment seen last
	needles []needle
	index   map[string]int // of needles, by value
	bytes   int            // of all values
	changed bool           // since the automaton was made
}

// harmlessEnviron are the variables whose values are left alone by default. A * at an end stands for
// anything.
var harmlessEnviron = []string{
	// POSIX, shells, terminals, desktops
	"PATH", "HOME", "LANG", "LANGUAGE", "LC_*", "PWD", "OLDPWD", "SHELL", "TERM", "TERM_*", "COLORTERM", "USER", "USERNAME", "LOGNAME",
	"HOSTNAME", "HOST", "TZ", "TMPDIR", "TMP", "TEMP", "SHLVL", "EDITOR", "VISUAL", "PAGER", "LESS", "LESSOPEN", "LESSCLOSE", "LS_COLORS",
	"LSCOLORS", "DISPLAY", "WAYLAND_DISPLAY", "XDG_*", "MAIL", "MANPATH", "INFOPATH", "LD_LIBRARY_PATH", "COLUMNS", "LINES", "PS1", "_",
	"DEBIAN_FRONTEND", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "INVOCATION_ID",
	"JOURNAL_STREAM", "SYSTEMD_*", "NOTIFY_SOCKET", "MEMORY_PRESSURE_*",
	// Go, this library, OpenTelemetry
	"GO*", "CGO_*", "CC", "CXX", "AR", "PKG_CONFIG", "COREDUMPY_*", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_*",
	"OTEL_METRICS_*", "OTEL_LOGS_*", "OTEL_PROPAGATORS", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_LOG_LEVEL",
	// Kubernetes and other places to run in; *_PORT_* are its service links
	"KUBERNETES_*", "*_SERVICE_HOST", "*_SERVICE_PORT", "*_SERVICE_PORT_*", "*_PORT", "*_TCP", "*_TCP_PROTO", "*_TCP_PORT", "*_TCP_ADDR",
	"*_UDP", "*_UDP_PROTO", "*_UDP_PORT", "*_UDP_ADDR", "POD_NAME", "POD_NAMESPACE", "POD_IP", "NODE_NAME", "NAMESPACE", "CONTAINER_*",
	"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_*", "REGION", "K_SERVICE", "K_REVISION", "K_CONFIGURATION",
	"DYNO", "FLY_REGION", "FLY_APP_NAME",
	// what services call themselves and their mode
	"SERVICE", "SERVICE_NAME", "APP", "APP_NAME", "APP_ENV", "ENV", "ENVIRONMENT", "NODE_ENV", "GIN_MODE", "LOG_LEVEL", "PORT",
	"VERSION", "APP_VERSION", "DEPLOYMENT_ENVIRONMENT",
	// continuous integration
	"CI", "GITHUB_*", "RUNNER_*", "GITLAB_CI", "CI_*", "BUILD_*", "JENKINS_HOME", "WORKSPACE",
}

// commonValues are values that say nothing, or that stand in too many texts for
// other reasons: as a password they are hidden only where they are the whole
// text.
var commonValues = func() map[string]bool {
	m := map[string]bool{}
	for v := range strings.FieldsSeq(`true false yes no on off none null nil undefined enabled disabled default auto always never
		debug info warn warning error fatal trace test tests testing local localhost dev devel develop development stage staging
		prod production main master latest release root admin administrator user username guest nobody service postgres postgresql
		mysql mongodb redis rabbitmq kafka database password passwd secret secrets token changeme change-me example sample demo
		pass word pass1234 1234 12345 123456 1234567 12345678 123456789 qwerty letmein welcome http https tcp udp grpc json text
		plain xterm xterm-256color truecolor linux amd64 arm64 x86_64 en_us.utf-8 c.utf-8 utf-8 value values name string server
		client username`) {
		m[v] = true
	}
	return m
}()

// matchName reports whether name matches pattern, in which a * at the start or
// the end stands for anything. ASCII case is ignored.
func matchName(pattern, name string) bool {
	pattern, name = strings.ToUpper(pattern), strings.ToUpper(name)
	front, back := strings.HasPrefix(pattern, "*"), strings.HasSuffix(pattern, "*")
	switch core := strings.Trim(pattern, "*"); {
	case front && back:
		return strings.Contains(name, core)
	case front:
		return strings.HasSuffix(name, core)
	case back:
		return strings.HasPrefix(name, core)
	default:
		return name == core
	}
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchName(p, name) })
}

// RefreshEnviron takes in the values of env, which has the form of
// os.Environ. [New] does it for the environment at that time; call it again
// when a dump is made. Values seen earlier stay hidden, as copies of them may
// still be in memory. If nothing changed it costs a hash over env, some microseconds;
// else a new automaton, about a millisecond. It is safe for concurrent use.
func (e *Engine) RefreshEnviron(env []string) {
	if !e.cfg.Environ || !e.on[rankEnviron] {
		return
	}
	v := &e.env
	v.mu.Lock()
	defer v.mu.Unlock()
	var h maphash.Hash
	h.SetSeed(v.seed)
	for _, kv := range env {
		h.WriteString(kv)
		h.WriteByte(0)
	}
	sum := h.Sum64()
	if sum == v.last && e.m.Load() != nil {
		return
	}
	v.last = sum
	for _, kv := range env {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" { // "=C:=C:\…" on Windows
			continue
		}
		e.takeVariable(name, value)
	}
	if v.changed || e.m.Load() == nil {
		v.changed = false
		e.m.Store(newMatcher(e, v.needles))
	}
}

// takeVariable makes needles of a variable. The caller holds e.env.mu.
func (e *Engine) takeVariable(name, value string) {
	trimmed := strings.TrimSpace(value)
	if trimmed == "" {
		return
	}
	info := e.names.classify(name)
	secret := info.class != notSecret || info.key
	if info.workingDir && strings.HasPrefix(trimmed, "/") {
		secret = false
	}
	hide := secret || !matchAny(harmlessEnviron, name) && !looksHarmless(trimmed)
	if hide && matchAny(e.cfg.EnvironAllow, name) {
		hide = false
	}
	if f := e.cfg.EnvironFilter; f != nil {
		hide = filterSafely(f, name, value, hide)
	}
	if !hide {
		return
	}
	least := e.cfg.EnvironMinLength
	if secret {
		least = min(least, secretEnvironMin)
	}
	e.addNeedle(trimmed, least, secret)
	// The program takes values apart: what is secret inside of one is looked for
	// on its own.
	for _, s := range e.inside(trimmed) {
		e.addNeedle(trimmed[s.start:s.end], min(e.cfg.EnvironMinLength, secretEnvironMin), true)
	}
}

// inside finds the passwords and tokens within a value: of a URL, of key=value
// pairs.
func (e *Engine) inside(value string) []span {
	m := e.m.Load()
	if m == nil {
		m = newMatcher(e, nil)
	}
	sc := scan{e: e, m: m, s: value, site: SiteValue}
	sc.keywords()
	return slices.DeleteFunc(sc.found, func(f span) bool {
		return f.rank == rankEnviron || f.end-f.start == len(value)
	})
}

// filterSafely calls the user's filter. If it panics the value is hidden.
func filterSafely(f func(string, string, bool) bool, name, value string, hide bool) (verdict bool) {
	defer func() {
		if recover() != nil {
			verdict = true
		}
	}()
	return f(name, value, hide)
}

// addNeedle remembers a value. The caller holds e.env.mu.
func (e *Engine) addNeedle(value string, least int, secret bool) {
	v := &e.env
	value = value[:min(len(value), maxNeedle)]
	if len(value) < max(least, 1) {
		return
	}
	if i, ok := v.index[value]; ok {
		if n := &v.needles[i]; secret && !n.secret {
			n.secret = true
			v.changed = true
		}
		return
	}
	if len(v.needles) >= maxNeedles || v.bytes+len(value) > maxNeedleBytes {
		v.forget()
	}
	n := needle{value: strings.Clone(value), secret: secret}
	n.whole = commonValues[strings.ToLower(value)] || isNumber(value) && len(value) < 8
	n.word = len(value) < defaultEnvironMin
	n.at, n.n = window(n.value)
	v.index[n.value] = len(v.needles)
	v.needles = append(v.needles, n)
	v.bytes += len(value)
	v.changed = true
}

// forget makes room: of the younger half, which holds what came after New in a
// program that keeps changing its environment, the older part goes.
func (v *environ) forget() {
	half := len(v.needles) / 2
	v.needles = append(v.needles[:half:half], v.needles[half+(half+1)/2:]...)
	v.bytes = 0
	clear(v.index)
	for i, n := range v.needles {
		v.index[n.value] = i
		v.bytes += len(n.value)
	}
}

// window chooses the part of a value by which the automaton finds it: up to 8
// bytes that are as rare in ordinary text as can be, so that values with a
// common beginning (https://) are not verified in vain.
func window(v string) (at, n int) {
	const size = 8
	if len(v) <= size {
		return 0, len(v)
	}
	best := -1
	for i := 0; i+size <= len(v) && i < 64; i++ {
		score := 0
		for _, c := range []byte(v[i : i+size]) {
			switch {
			case isDigit(c), isUpper(c):
				score += 3
			case isLower(c), c == '/', c == '.', c == ' ', c == ':':
				score++
			default:
				score += 2
			}
		}
		if score > best {
			best, at = score, i
		}
	}
	return at, size
}

// needle verifies that needle n of the matcher ends, with its window, before
// s[end].
func (sc *scan) needle(n *needle, end int) {
	s := sc.s
	start := end - n.n - n.at
	if start < 0 || len(s)-start < len(n.value) || s[start:start+len(n.value)] != n.value {
		return
	}
	end = start + len(n.value)
	if n.whole && len(n.value) != len(s) {
		return
	}
	if n.word && (start > 0 && isAlnum(s[start-1]) || end < len(s) && isAlnum(s[end])) {
		return
	}
	if !n.secret && (sc.site == SitePath || sc.site == SiteSymbol) {
		return // names of the program's own parts come from its build
	}
	sc.add(start, end, rankEnviron)
}

// looksHarmless reports whether a value of a variable with an ordinary name is
// left alone: numbers, sizes and durations, common words, paths and lists of
// them, addresses without anything secret.
func looksHarmless(v string) bool {
	return isNumber(v) || commonValues[strings.ToLower(v)] || isPathList(v) || isHostPort(v)
}

// isNumber reports whether v is a number, an address, a time or an amount: 8080,
// -1.5, 10.0.0.1, 12:30, 95%, 1h30m, 512Mi.
func isNumber(v string) bool {
	if _, err := time.ParseDuration(v); err == nil {
		return true
	}
	v = strings.TrimLeft(v, "+-")
	n, digits := 0, 0
	for n < len(v) && (isDigit(v[n]) || strings.IndexByte(".,:_", v[n]) >= 0) {
		if isDigit(v[n]) {
			digits++
		}
		n++
	}
	if digits == 0 || digits > 15 { // nobody sets a limit of 16 digits
		return false
	}
	switch unit := strings.ToLower(v[n:]); unit {
	case "", "%", "b", "k", "kb", "ki", "kib", "m", "mb", "mi", "mib", "g", "gb", "gi", "gib", "t", "tb", "ti", "tib":
		return true
	}
	return false
}

// isPathList reports whether v is one or more absolute or home-relative paths
// with : between, and none that could as well be base64.
func isPathList(v string) bool {
	for p := range strings.SplitSeq(v, ":") {
		if p == "" {
			continue
		}
		if p[0] != '/' && !strings.HasPrefix(p, "~/") && !strings.HasPrefix(p, "./") && !strings.HasPrefix(p, "../") {
			return false
		}
		for part := range strings.SplitSeq(p, "/") {
			for i := 0; i < len(part); i++ {
				if c := part[i]; !in(c, csURL|csDot|csTilde) && c != '@' && c != '+' && c != ' ' && c < 0x80 {
					return false
				}
			}
			if len(part) >= 16 && !wordy(part) {
				return false
			}
		}
	}
	return true
}

// isHostPort reports whether v is an address that needs no hiding: localhost
// or an IP with or without a port.
func isHostPort(v string) bool {
	host, _, _ := strings.Cut(v, ":")
	return host == "" && isNumber(v) || foldEqual(host, "localhost") || host == "0.0.0.0" || host == "127.0.0.1"
}
