package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// prompt is what the command prints when it waits for the user.
const prompt = "(coredumpy) "

// BenchmarkCommand is the command as a user starts it, process and all, on the
// dumps of graphs of 100,000 objects and of a million.
func BenchmarkCommand(b *testing.B) {
	dir := b.TempDir()
	command := filepath.Join(dir, "coredumpy")
	build := exec.Command("go", "build", "-o", command, "./cmd/coredumpy")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building the command: %v\n%s", err, out)
	}
	for _, objects := range []int{100_000, 1_000_000} {
		path := dumpOf(b, dir, objects)
		b.Run(fmt.Sprintf("peek/objects=%d", objects), func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				start := time.Now()
				out, err := exec.Command(command, "peek", path).Output()
				times = append(times, time.Since(start))
				if err != nil || !bytes.Contains(out, []byte(fmt.Sprintf("[][]*bench.record len: %d", objects/inSlice))) {
					b.Fatalf("error %v, output:\n%s", err, out)
				}
			}
			report(b, times, peak(b, exec.Command(command, "peek", path)))
		})
		b.Run(fmt.Sprintf("load/objects=%d", objects), func(b *testing.B) {
			var times []time.Duration
			var memory int
			for b.Loop() {
				took, kib := untilPrompt(b, dir, command, path)
				times, memory = append(times, took), max(memory, kib)
			}
			report(b, times, memory)
		})
	}
}

func report(b *testing.B, times []time.Duration, kib int) {
	slices.Sort(times)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(times[len(times)/2])/float64(time.Millisecond), "p50-ms")
	b.ReportMetric(float64(kib)/1024, "peak-MiB")
}

// resident returns the most memory in KiB that a running process has had so far.
func resident(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
	return 0, fmt.Errorf("process %d has no VmHWM", pid)
}

// peak runs a command and returns how much memory it had at most, in KiB. What
// wait4 says of a child is no less than what its parent has had, so the process
// is stopped where it exits, and looked at.
func peak(b *testing.B, cmd *exec.Cmd) int {
	b.Helper()
	const (
		ptraceOTraceExit = 0x40
		ptraceEventExit  = 6
	)
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Process.Release()
	pid := cmd.Process.Pid
	var status syscall.WaitStatus
	wait := func() {
		for {
			_, err := syscall.Wait4(pid, &status, 0, nil)
			if err == nil {
				return
			}
			if err != syscall.EINTR {
				b.Fatal(err)
			}
		}
	}
	wait()
	if err := syscall.PtraceSetOptions(pid, ptraceOTraceExit); err != nil {
		b.Fatal(err)
	}
	kib, signal := 0, 0
	for {
		if err := syscall.PtraceCont(pid, signal); err != nil {
			b.Fatal(err)
		}
		wait()
		switch {
		case status.Exited() && status.ExitStatus() == 0 && kib > 0:
			return kib
		case status.Exited() || status.Signaled():
			b.Fatalf("%v ended with %v, after %d KiB", cmd, status, kib)
		case status.TrapCause() == ptraceEventExit:
			var err error
			if kib, err = resident(pid); err != nil {
				b.Fatal(err)
			}
			signal = 0
		default: // the runtime sends itself signals
			if signal = int(status.StopSignal()); signal == int(syscall.SIGTRAP) {
				signal = 0
			}
		}
	}
}

// untilPrompt opens a dump at a terminal, and returns how long it took until the
// user could type, and how much memory in KiB that needed at most.
func untilPrompt(b *testing.B, home, command, path string) (time.Duration, int) {
	b.Helper()
	terminal, name := openTerminal(b)
	defer terminal.Close()
	inside, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer inside.Close()
	cmd := exec.Command(command, "load", path)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home, "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inside, inside, inside
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	var shown []byte
	chunk := make([]byte, 4096)
	for !bytes.Contains(shown, []byte(prompt)) {
		n, err := terminal.Read(chunk)
		if err != nil {
			b.Fatalf("%v, after:\n%s", err, shown)
		}
		shown = append(shown, chunk[:n]...)
	}
	took := time.Since(start)
	kib, err := resident(cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := terminal.WriteString("exit\r"); err != nil {
		b.Fatal(err)
	}
	go func() { // so that it is not stuck while it prints
		for {
			if _, err := terminal.Read(chunk); err != nil {
				return
			}
		}
	}()
	if err := cmd.Wait(); err != nil {
		b.Fatalf("%v, after:\n%s", err, shown)
	}
	return took, kib
}

// openTerminal makes a pseudo-terminal, and returns the end that the user has, and
// the name of the other.
func openTerminal(b *testing.B) (*os.File, string) {
	b.Helper()
	fd, err := syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		b.Skipf("no pseudo-terminals here: %v", err)
	}
	terminal := os.NewFile(uintptr(fd), "/dev/ptmx")
	control := func(request uintptr, arg unsafe.Pointer) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
			b.Fatal(errno)
		}
	}
	var unlock, number int32
	control(syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	control(syscall.TIOCGPTN, unsafe.Pointer(&number))
	size := [4]uint16{40, 120}
	control(syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	return terminal, fmt.Sprintf("/dev/pts/%d", number)
}
