//go:build linux

package capture_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// tortureRounds is how often each scenario goes round; COREDUMPY_TORTURE sets it, and has
// all of the builds and environments run all scenarios ("make torture").
func tortureRounds(t *testing.T) (n int, everything bool) {
	if s := os.Getenv("COREDUMPY_TORTURE"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n, true
	}
	return 3, false
}

// Scenarios of testdata/targets/torture by what they are sensitive to.
const (
	tortureMemory = "churn concurrent gc finalizer goroutines values" // the collector, stacks, other goroutines
	tortureEvery  = "all"
)

var tortureBuilds = []struct {
	name  string
	flags []string
	envs  []tortureEnv
}{
	{"default", nil, []tortureEnv{
		{"plain", nil, tortureEvery},
		{"gogc1-procs1", []string{"GOGC=1", "GOMAXPROCS=1"}, tortureMemory},
		{"gogc1-procs8", []string{"GOGC=1", "GOMAXPROCS=8"}, tortureMemory + " nested storm"},
		// Freed memory is overwritten, what the collector marks is marked again with the world stopped.
		{"clobberfree-checkmark", []string{"GOGC=5", "GODEBUG=clobberfree=1,gccheckmark=1", "GOMAXPROCS=4"}, tortureMemory},
		{"no-preemption", []string{"GODEBUG=asyncpreemptoff=1,gcstoptheworld=1", "GOMAXPROCS=2"}, tortureMemory},
		{"memory-limit", []string{"GOMEMLIMIT=24MiB", "GOGC=off"}, "churn values limit goroutines"},
		{"stacks", []string{"GODEBUG=adaptivestackstart=1,gcshrinkstackoff=1,tracebackancestors=5", "GOGC=2"}, "churn nested pull"},
	}},
	{"noopt", []string{"-gcflags=all=-N -l"}, []tortureEnv{
		{"gogc1-clobberfree", []string{"GOGC=1", "GODEBUG=clobberfree=1"}, "churn gc values nested"},
	}},
	{"race", []string{"-race"}, []tortureEnv{
		{"gogc20", []string{"GOGC=20", "GOMAXPROCS=4"}, "churn concurrent nested pull"},
	}},
	{"checkptr", []string{"-gcflags=github.com/otelcoredumpy/...=-d=checkptr"}, []tortureEnv{
		{"gogc5", []string{"GOGC=5"}, tortureMemory + " fault locked nested"},
	}},
}

type tortureEnv struct {
	name      string
	set       []string
	scenarios string
}

func TestTorture(t *testing.T) {
	rounds, everything := tortureRounds(t)
	for _, b := range tortureBuilds {
		if testing.Short() && b.name != "default" {
			continue
		}
		bin := buildTarget(t, "torture", b.flags)
		for i, env := range b.envs {
			if testing.Short() && i > 0 {
				continue
			}
			t.Run(b.name+"/"+env.name, func(t *testing.T) {
				what := env.scenarios
				if everything {
					what = tortureEvery
				}
				n := rounds
				if b.name == "race" { // several times as slow
					n = max(1, rounds/3)
				}
				out, err := torture(bin, env.set, n, strings.Fields(what)...)
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if !strings.Contains(out, "\nchecked") {
					t.Errorf("no value was checked:\n%s", out)
				}
				for _, name := range strings.Fields(what) {
					if name != tortureEvery && !strings.Contains(out, "ok "+name+"\n") {
						t.Errorf("scenario %s did not end:\n%s", name, out)
					}
				}
			})
		}
	}
}

// TestTortureAlone runs the scenarios that change their process for good.
func TestTortureAlone(t *testing.T) {
	rounds, _ := tortureRounds(t)
	bin := buildTarget(t, "torture", nil)
	for _, name := range []string{
		"init", "no-open", "no-open-enosys", "no-read", "no-files-later", "address-space", "address-space-cold", "address-space-none",
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := torture(bin, nil, rounds, name); err != nil || !strings.Contains(out, "ok "+name+"\n") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	// These die, by the runtime's own word.
	for name, says := range map[string]string{
		"overflow": "fatal error: stack overflow",
		"throw":    "fatal error: concurrent map",
	} {
		t.Run(name, func(t *testing.T) {
			out, err := torture(bin, nil, rounds, name)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(out, says) {
				t.Errorf("%v, want exit status 2 and %q\n%.4000s", err, says, out)
			}
		})
	}
}

// TestTortureCgo captures in callbacks of C.
func TestTortureCgo(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Fatal("this test needs gcc, as go test -race does")
	}
	rounds, _ := tortureRounds(t)
	bin := buildTarget(t, "torturecgo", nil)
	out, err := torture(bin, []string{"GOGC=5", "GODEBUG=cgocheck=1,clobberfree=1"}, rounds)
	if want := "ok " + strconv.Itoa(rounds*4*2*2); err != nil || !strings.Contains(out, want+"\n") {
		t.Errorf("%v, want %q\n%s", err, want, out)
	}
}

func torture(bin string, env []string, rounds int, scenarios ...string) (string, error) {
	cmd := targetCommand(bin, append([]string{strconv.Itoa(rounds)}, scenarios...)...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return "\n" + out.String(), err
}
