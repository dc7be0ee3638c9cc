package dump

import "time"

// Goroutine is the state of one goroutine.
type Goroutine struct {
	ID       int64
	ParentID int64  // the goroutine that started it, 0 if unknown
	Status   string // "running", "runnable", "syscall", "waiting", …
	// WaitReason is the runtime's: "chan receive", "select", "sync.Mutex.Lock".
	WaitReason string
	// WaitSince is how long it had been waiting at least: the runtime notes that it
	// waits at the first garbage collection that sees it. 0 if unknown.
	WaitSince time.Duration
	Failing   bool       // this is the goroutine that the dump is about
	CreatedBy Location   // the go statement
	Labels    []KeyValue // pprof labels
	Frames    []Frame    // innermost first
	// Values belong to the goroutine rather than to a frame: the panic values,
	// the recorded error, what the program watches.
	Values  []Variable
	Missing []Missing
	// Waits is what it waits for; a select's cases. Whoever has the same Addr among
	// theirs waits for the same.
	Waits []Wait
	// TraceID and SpanID are those of the span in the context.Context of its
	// innermost frame that has one; zero if there is none.
	TraceID TraceID
	SpanID  SpanID
	System  bool // the runtime's own
	Locked  bool // to its thread
	// Others says what the goroutines besides the failing one do, the most
	// numerous first, for readers that do not want all of them. Only the failing
	// one's record has it.
	Others []GoroutineGroup
}

// Wait is one thing that a goroutine waits for.
type Wait struct {
	// Op is "receive" or "send" (a channel), "lock" or "rlock" (a mutex), "wait" (a
	// sync.WaitGroup or sync.Cond), "acquire" (a semaphore that is part of something unknown),
	// "read" or "write" (a file or connection), "sleep", or empty if that is unknown.
	Op       string
	Addr     uint64        // of the channel, mutex, …
	Type     string        // its type: "chan int", "sync.Mutex"
	Len, Cap int64         // of a channel
	Closed   bool          // of a channel
	FD       int64         // file descriptor, of "read" and "write"
	Left     time.Duration // until the end, of "sleep"
}

// GoroutineGroup is goroutines that do the same: their status, wait reason, frames and
// creator are the same.
type GoroutineGroup struct {
	Count      int
	ID         int64 // of one of them
	Status     string
	WaitReason string
	At         Location // the innermost frame of the program's own, else outside of the runtime
	CreatedBy  Location
	Longest    time.Duration // WaitSince of the one that has waited longest
}

// Frame is one call, or one inlined call, on a goroutine's stack.
type Frame struct {
	Func     string // full name
	File     string
	Line     int
	PC       uint64 // inlined frames share the PC of the call they were inlined into
	CFA      uint64 // canonical frame address; inlined frames share it
	FuncLine int    // where the function begins, 0 if unknown
	Inlined  bool   // inlined into the next frame of the list
	// User is set if the function belongs to the program's own modules rather
	// than to the standard library, OpenTelemetry or otelcoredumpy.
	User bool
	// Vars are in order of declaration; of two with one name the later is the
	// inner one.
	Vars    []Variable
	Missing []Missing
}

// Source is an excerpt of a source file.
type Source struct {
	File string // as in Frame.File
	// Blocks do not overlap and are in order.
	Blocks []SourceBlock
}

// SourceBlock is a run of consecutive lines.
type SourceBlock struct {
	First int // line number of Lines[0], from 1
	Lines []string
}

// Extra is what is known of the span and the process besides the header.
type Extra struct {
	SpanKind       string
	SpanStart      time.Time
	SpanEnd        time.Time
	SpanStatus     string // "Unset", "Error", "Ok"
	SpanMessage    string // status description
	SpanAttributes []KeyValue
	SpanEvents     []SpanEvent
	ParentSpanID   SpanID
	Scope          string // instrumentation scope's name
	CommandLine    []string
	Executable     string
	BuildID        string // GNU build ID in hexadecimal, or Go's
	StartTime      time.Time
	Modules        []Module // dependencies
	Settings       []KeyValue
}

// SpanEvent is an event of the failing span.
type SpanEvent struct {
	Name       string
	Time       time.Time
	Attributes []KeyValue
}
