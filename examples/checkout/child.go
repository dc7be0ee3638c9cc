package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// childEnv is set in a process that the example starts to see it die.
const childEnv = "CHECKOUT_CHILD"

// spawn runs a scenario in a process of its own, because it ends the process.
// The child prints the line of its dump itself, before it dies.
func (t *traffic) spawn(ctx context.Context, s scenario) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*dumpTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, t.opts.childArgs(s.name)...)
	cmd.Env = append(os.Environ(), childEnv+"=1", "GOTRACEBACK=single")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	dumps := 0
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.Contains(lines.Text(), " dump_id=") {
			dumps++
			t.report.mu.Lock()
			t.report.line(lines.Text())
			t.report.mu.Unlock()
		}
	}
	waitErr := cmd.Wait()
	if t.opts.verbose {
		for line := range strings.Lines(stderr.String()) {
			fmt.Fprintf(t.stderr, "    %s", line)
		}
	}

	// Exit code 2 and a trace is how a Go program dies of a panic.
	var exit *exec.ExitError
	switch {
	case !errors.As(waitErr, &exit) || exit.ExitCode() != 2 || !strings.Contains(stderr.String(), "panic: "):
		return fmt.Errorf("the process was to die of a panic, but: %v: %s", waitErr, tail(stderr.String()))
	case dumps == 0:
		return fmt.Errorf("the process died without a dump: %s", tail(stderr.String()))
	}
	return nil
}

// tail returns the last lines of what a process said, indented.
func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return "\n    " + strings.Join(lines[max(0, len(lines)-20):], "\n    ")
}

// childArgs returns the command line of a child that runs one scenario.
func (o *options) childArgs(scenario string) []string {
	args := []string{"-scenario", scenario}
	for _, f := range []struct{ name, value string }{{"-dir", o.dir}, {"-config", o.config}, {"-otlp", o.otlp}} {
		if f.value != "" {
			args = append(args, f.name, f.value)
		}
	}
	if o.verbose {
		args = append(args, "-v")
	}
	return args
}

// child sends the request of a scenario from which the process dies. It returns
// if it did not.
func (t *traffic) child(ctx context.Context) int {
	if err := t.sendHealthy(ctx); err != nil {
		fmt.Fprintf(t.stderr, "checkout: error: %v\n", err)
		return 1
	}
	for _, s := range scenarios {
		if s.name == t.opts.scenario {
			failure := t.report.expect(s.name)
			ctx, cancel := context.WithTimeout(ctx, dumpTimeout)
			defer cancel()
			status, err := t.request(ctx, s.requests[0], failure.key)
			fmt.Fprintf(t.stderr, "checkout: error: still alive after an answer with status %d, error %v\n", status, err)
		}
	}
	return 1
}
