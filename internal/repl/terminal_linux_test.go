package repl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger/debuggertest"
)

// TestMain is also the program that the tests run in a terminal.
func TestMain(m *testing.M) {
	history, ok := os.LookupEnv("REPL_TEST_HISTORY")
	if !ok {
		os.Exit(m.Run())
	}
	data, err := debuggertest.Shop().Bytes()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
	s, err := openBytes(data)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(9)
	}
	terminal, color := Terminal(os.Stdin, os.Stdout)
	exit, err := Run(context.Background(), s, Options{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Terminal: terminal, Color: color, HistoryFile: history,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(exit)
}

// console is a program in a pseudo-terminal.
type console struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File
	before *unix.Termios // the terminal's mode before the program was started

	mu   sync.Mutex
	out  bytes.Buffer
	more chan struct{} // something was written
	seen int           // how much of out was waited for
}

// limit is when a test is given up; nothing waits for it to pass.
const limit = 20 * time.Second

func openConsole(t *testing.T, history string, env ...string) *console {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 120}); err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, master: master, slave: slave, more: make(chan struct{}, 1)}
	c.cmd = exec.Command(os.Args[0], "-test.run=^$")
	c.cmd.Env = append(os.Environ(), append([]string{"TERM=xterm", "NO_COLOR=", "REPL_TEST_HISTORY=" + history}, env...)...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if c.before, err = unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			c.mu.Lock()
			c.out.Write(b[:n])
			c.mu.Unlock()
			select {
			case c.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait() // most have ended already
		master.Close()
		slave.Close()
	})
	return c
}

// wait waits until text is written behind what was waited for before, and
// returns what was written until then.
func (c *console) wait(text string) string {
	c.t.Helper()
	deadline := time.After(limit)
	for {
		c.mu.Lock()
		out := c.out.String()
		c.mu.Unlock()
		if i := strings.Index(out[c.seen:], text); i >= 0 {
			part := out[c.seen : c.seen+i]
			c.seen += i + len(text)
			return part
		}
		select {
		case <-c.more:
		case <-deadline:
			c.t.Fatalf("no %q in %q", text, out[c.seen:])
		}
	}
}

// prompt waits until the editor reads keys: it has printed its prompt and
// switched the terminal's signals off.
func (c *console) prompt() {
	c.t.Helper()
	c.wait(Prompt)
	c.mode(func(m *unix.Termios) bool { return m.Lflag&(unix.ISIG|unix.ICANON) == 0 })
}

// mode waits until the terminal is in a mode that is reached between the
// prompt's text and the first key. There is no event for it.
func (c *console) mode(ok func(*unix.Termios) bool) {
	c.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		m, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
		if err != nil {
			c.t.Fatal(err)
		}
		if ok(m) {
			return
		}
	}
	c.t.Fatal("the terminal does not get into the mode")
}

func (c *console) send(keys string) {
	c.t.Helper()
	if _, err := c.master.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// exit waits for the end of the program.
func (c *console) exit() int {
	c.t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil && !errors.As(err, new(*exec.ExitError)) {
			c.t.Fatal(err)
		}
	case <-time.After(limit):
		c.t.Fatal("the program does not end")
	}
	return c.cmd.ProcessState.ExitCode()
}

func TestTerminal(t *testing.T) {
	history := filepath.Join(t.TempDir(), "state", "history")
	c := openConsole(t, history)
	c.wait("panic: ")
	c.wait("Type 'help'")
	c.prompt()
	c.send("whati\t l.SK\t\r") // completed to "whatis l.SKU"
	c.wait("\r\nstring\r\n")
	c.prompt()
	c.send("print 1000+\x03") // dropped
	c.prompt()
	c.send("print 2000+16\r")
	c.wait("\r\n2016\r\n")
	c.prompt()
	c.send("\r") // again
	c.wait("\r\n2016\r\n")
	c.prompt()
	c.send("\x1b[A\x1b[A\r") // up, up: whatis
	c.wait("\r\nstring\r\n")
	c.prompt()
	c.send("print nope\r")
	c.wait("Command failed: could not find symbol value for nope")
	c.prompt()
	c.send("\x04")
	c.wait("exit")
	if code := c.exit(); code != 0 {
		t.Errorf("exit code %d: what fails at a prompt is no failure", code)
	}
	after, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if *c.before != *after {
		t.Errorf("the terminal was left in another mode: %+v, was %+v", after, c.before)
	}
	got, err := os.ReadFile(history)
	if err != nil {
		t.Fatal(err)
	}
	if want := "whatis l.SKU\nprint 2000+16\nwhatis l.SKU\nprint nope\n"; string(got) != want {
		t.Errorf("the history is %q, want %q", got, want)
	}
	if info, err := os.Stat(history); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the history's mode is %v (%v)", info.Mode(), err)
	}

	// The next session knows what was typed.
	c = openConsole(t, history)
	c.prompt()
	c.send("\x1b[A\x1b[A\x1b[A\r")
	c.wait("\r\n2016\r\n")
	c.prompt()
	c.send("quit\r")
	c.exit()
}

func TestTerminalColors(t *testing.T) {
	for _, tt := range []struct {
		env  string
		want bool
	}{{"COLORTERM=", true}, {"NO_COLOR=1", false}, {"TERM=dumb", false}} {
		c := openConsole(t, "", tt.env)
		got := strings.Contains(c.wait("Type 'help'"), string(red)+"panic")
		if got != tt.want {
			t.Errorf("%s: coloured: %v, want %v", tt.env, got, tt.want)
		}
		c.wait(Prompt)
		c.send("exit\n")
		if code := c.exit(); code != 0 {
			t.Errorf("%s: exit code %d", tt.env, code)
		}
	}
}

// TestTerminated ends the program at its prompt, which has the terminal in a
// mode that a shell could not use.
func TestTerminated(t *testing.T) {
	c := openConsole(t, "")
	c.prompt()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.exit()
	after, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if *c.before != *after {
		t.Errorf("the terminal was left in another mode: %+v, was %+v", after, c.before)
	}
}

func TestInterrupt(t *testing.T) {
	var out bytes.Buffer
	r := &runner{ctx: t.Context(), s: shop(t), load: debugger.DefaultLoad(), out: &screen{w: &out}, err: &screen{w: &out}}
	r.interruptible(func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		<-r.ctx.Done()
		r.line("bt")
	})
	if got := out.String(); got != "interrupted\n" {
		t.Errorf("an interrupted command printed %q", got)
	}
	if r.ctx.Err() != nil {
		t.Error("the session was interrupted too")
	}
}
