package cli

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
)

var update = flag.Bool("update", false, "write golden files and the manual anew")

// TestMain makes the command available to the scripts, at a time and in a zone
// that do not change.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"coredumpy": func() {
			std := osStdio()
			std.now = func() time.Time { return testNow }
			std.local = time.UTC
			os.Exit(run(context.Background(), std, os.Args[1:]))
		},
	})
}

// TestScripts runs the terminal sessions in testdata/script. Beside the commands
// of testscript they have
//
//	mkdump FILE FIXTURE        makes a dump file
//	mkstore DIR FIXTURE...     puts dumps into a local store
//	mkspool CONFIG FIXTURE...  puts dumps into the spool of a configuration file
//	mkkey NAME                 makes a private key, NAME.key, and the public one, NAME.pub
//	mksealed DIR PUB FIXTURE...  puts dumps into a local store, encrypted
//	mkhidden DIR PUB FIXTURE...  the same with their headers
//	cut FILE N                 leaves the first N bytes of a file; negative: all but the last
//	scribble FILE N            changes the byte at offset N; negative: from the end
//	norm FILE                  writes the last stdout to a file, with sizes, the
//	                           version of the format and the work folder as words:
//	                           all may change
//	code N COMMAND...          runs a command that must end with that exit code
//
// and the variables $TRACE_A, $TRACE_B, $SPAN_A1, $SPAN_A2, and $PANIC, $ERRSPAN,
// … with the dump IDs of the fixtures.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // each command would take a second
			env.Setenv("TRACE_A", traceA)
			env.Setenv("TRACE_B", traceB)
			env.Setenv("SPAN_A1", spanA1)
			env.Setenv("SPAN_A2", spanA2)
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "xdg"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			for name, make := range fixtures {
				f := make()
				env.Setenv(strings.ToUpper(name), f.header.ID.String())
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"mkdump": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(writeFixture(ts.MkAbs(args[0]), args[1]))
			},
			"mkstore": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(storeFixtures(ts.MkAbs(args[0]), args[1:]...))
			},
			"mkspool":  cmdSpool,
			"mkkey":    cmdKey,
			"mksealed": func(ts *testscript.TestScript, _ bool, args []string) { cmdSealed(ts, args, false) },
			"mkhidden": func(ts *testscript.TestScript, _ bool, args []string) { cmdSealed(ts, args, true) },
			"cut":      cmdCut,
			"scribble": cmdScribble,
			"code":     cmdCode,
			"norm":     cmdNorm,
		},
	})
}

// offset reads a number that counts from the end of the file if it is negative.
func offset(ts *testscript.TestScript, data []byte, arg string) int {
	n, err := strconv.Atoi(arg)
	ts.Check(err)
	if n < 0 {
		n += len(data)
	}
	if n < 0 || n >= len(data) {
		ts.Fatalf("offset %s is not in the file of %d bytes", arg, len(data))
	}
	return n
}

func cmdSpool(ts *testscript.TestScript, _ bool, args []string) {
	cfg, _, err := config.Load(config.LoadOptions{File: ts.MkAbs(args[0])})
	ts.Check(err)
	// As if the command ran where the script is.
	cfg.Spool.Dir, cfg.Sink.Local.Dir = ts.MkAbs(cfg.Spool.Dir), ts.MkAbs(cfg.Sink.Local.Dir)
	s, err := cfg.OpenSpool(context.Background())
	ts.Check(err)
	for _, name := range args[1:] {
		data, h, err := fixtureBytes(name)
		ts.Check(err)
		ts.Check(s.Put(context.Background(), h.Identity, bytes.NewReader(data)))
	}
}

func cmdKey(ts *testscript.TestScript, _ bool, args []string) {
	id, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), []byte(id.String()+"\n"), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pub"), []byte(id.Recipient().String()+"\n"), 0o600))
}

func cmdSealed(ts *testscript.TestScript, args []string, header bool) {
	ts.Check(sealFixtures(ts.MkAbs(args[0]), encrypt.Config{Recipients: []string{ts.MkAbs(args[1])}, SealHeader: header}, args[2:]...))
}

func cmdCut(ts *testscript.TestScript, _ bool, args []string) {
	data := []byte(ts.ReadFile(args[0]))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data[:offset(ts, data, args[1])], 0o600))
}

func cmdScribble(ts *testscript.TestScript, _ bool, args []string) {
	data := []byte(ts.ReadFile(args[0]))
	data[offset(ts, data, args[1])] ^= 0x55
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

var (
	sizeInText = regexp.MustCompile(`(?m) +[0-9.]+ (B|KiB)$`)
	sizeInSum  = regexp.MustCompile(`, [0-9.]+ (B|KiB):`)
	sizeInJSON = regexp.MustCompile(`"size": [0-9]+`)

	versionInJSON = regexp.MustCompile(`("format_version": ?")[0-9.]+"`)
)

func cmdNorm(ts *testscript.TestScript, _ bool, args []string) {
	out := strings.ReplaceAll(ts.ReadFile("stdout"), ts.Getenv("WORK"), "WORK")
	out = sizeInText.ReplaceAllString(out, " SIZE")
	out = sizeInSum.ReplaceAllString(out, ", SIZE:")
	out = sizeInJSON.ReplaceAllString(out, `"size": 0`)
	out = versionInJSON.ReplaceAllString(out, `${1}N.N"`)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out), 0o600))
}

// cmdCode runs a command like exec and compares its exit code.
func cmdCode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: code N command [args...]")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("%s: exit code %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}
