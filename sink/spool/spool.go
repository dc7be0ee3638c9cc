// Package spool keeps dumps safe on the local disk and brings them to their
// destination in the background.
//
// A [Spool] stands in front of another [sink.Sink]. Put returns when the dump is
// on the local disk, however the destination fares; from there it is uploaded,
// by this process, by another one that shares the folder, or by the next one
// after a crash, and removed only when the destination has confirmed it. To
// readers spool and destination look like one store.
//
// # What is on the disk
//
//	<dir>/<destination>/destination                          what the folder is for, a line of text
//	<dir>/<destination>/items/<dump-id>-<trace-id>.cdmp      dumps that wait for their upload
//	<dir>/<destination>/failed/<dump-id>-<trace-id>.cdmp     dumps that were given up, see below
//	<dir>/<destination>/damaged/<dump-id>-<trace-id>.cdmp    files that are not what was put there
//	<dir>/<destination>/tmp/<dump-id>-<random>.tmp           dumps that are being written
//	<dir>/<destination>/lock                                 empty, locked by who makes room
//
// The folder <destination> has as its name the first 16 hexadecimal digits of the
// SHA-256 of the destination's String, so several services with several
// destinations may share a spool folder. Each item is the dump as it is, followed
// by 256 bytes with its identity, its length, and checksums (see item.go).
// Folders have mode 0700 and files 0600. Whatever else lies there is passed over;
// nothing outside the folder is read or written, whatever links lie inside. In a
// folder for everybody, such as /tmp, a folder is refused that belongs to
// somebody else or that others may write to.
//
// # What Put promises
//
// The dump is written to a new file in tmp, flushed, renamed into items, and the
// folder is flushed as well. So an item is whole or is not there, also after a
// power failure, and what Put has reported stays until it is delivered or a Result
// tells otherwise.
//
// # Who uploads
//
// An item is claimed by a lock on its file that the operating system takes away when the
// process ends, however it ends. Where there are no such locks (some network
// file systems) several processes may upload the same item, which only costs
// time: Put of a destination is idempotent. Before an upload the whole file is
// checked; a damaged one moves to damaged/.
//
// A failed upload is tried again after a random time of up to MinBackoff, which doubles
// with each attempt up to MaxBackoff. After several failures in a row, whatever
// the dump, the destination is left alone as a whole, then one dump at a time
// tries whether it is back (a circuit breaker). A Retry-After of the destination
// is heeded, up to an hour. What only a part of the destination has refused
// ([sink.IsPartial]) waits by itself.
//
// A dump that the destination refuses for good ([sink.IsPermanent]), or that has
// failed for longer than GiveUpAfter, moves to failed/. It is not tried any
// more except by [Spool.Push], and it is still listed and opened. A destination
// that panics has failed; one that ignores its context is left behind, and when
// four calls of it (or Concurrency, if that is more) are stuck, nothing more is
// uploaded until one returns.
//
// # What goes when there is no room
//
// The bounds of [Config] hold for one destination. To make room for a new dump,
// others go: first those in failed/, then dumps of error spans, then those of
// other triggers, then panics and manual dumps; the oldest first among each. None
// goes for the sake of one that is worth less, none if that would not
// make room enough, and none that is being uploaded. If there is no room then,
// Put says so. A dump older than MaxAge goes once an upload of it has failed, or while
// the destination is unreachable. Each of them is told by a Result. Processes that share
// a folder keep the bounds together, but each counts the others' dumps only
// now and then, so the bounds may be exceeded for some seconds.
package spool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/disk"
)

// Config says where the spool lies and what its limits are. The zero value of a
// limit stands for its default; where "none" is said, a negative value means that
// there is no such limit.
type Config struct {
	// Dir is the spool folder. Several processes and several destinations may
	// share it. It and its parents are made by the first Put. Required;
	// [DefaultDir] has a proposal.
	Dir string

	// MaxBytes bounds the size of all files. Default 1 GiB, or none.
	MaxBytes int64
	// MaxItems bounds their number. Default 10,000, or none.
	MaxItems int
	// MaxAge bounds the time that a dump stays in the spool. Default a week, or
	// none.
	MaxAge time.Duration
	// MinFree is how much space Put leaves free on the disk. If other programs
	// have filled it further, a new dump takes the room of old ones. Default 256
	// MiB, or none.
	MinFree int64

	// Concurrency is how many dumps are uploaded at once. Default 2.
	Concurrency int
	// AttemptTimeout bounds one Put of the destination. Default 1 m.
	AttemptTimeout time.Duration
	// GiveUpAfter is for how long a dump is tried, from its Put here on. Default
	// none: MaxAge decides.
	GiveUpAfter time.Duration
	// MinBackoff and MaxBackoff bound the time between two attempts. Defaults
	// 1 s and 5 m.
	MinBackoff, MaxBackoff time.Duration

	// Passive does no work in the background. What is put waits for Forward,
	// Flush or Push, or for another process. For commands.
	Passive bool

	// Direct has Put hand a dump to the destination itself, in the time that its
	// context and AttemptTimeout give, if the spool cannot take it: a full disk, a
	// folder that cannot be written, no room within the bounds. A destination
	// that is left alone is not asked.
	Direct bool

	// OnResult is told what became of a dump, whichever process has put it. It and
	// OnTrouble are called one at a time, on a goroutine of the spool. They should
	// return soon, and must not call Flush, Shutdown or Push. What they panic
	// with is dropped.
	OnResult func(Result)
	// OnTrouble is told what is worth a line in a log; the kind is one of the
	// Trouble constants. The spool does not limit how often.
	OnTrouble func(kind string, err error)
}

// withDefaults fills in what is zero, and makes "none" as large as can be.
func (c Config) withDefaults() Config {
	orDefault(&c.MaxBytes, 1<<30, 1<<62)
	orDefault(&c.MaxItems, 10_000, 1<<30)
	orDefault(&c.MaxAge, 7*24*time.Hour, 1<<62)
	orDefault(&c.MinFree, 256<<20, 0)
	orDefault(&c.Concurrency, 2, 2)
	orDefault(&c.AttemptTimeout, time.Minute, time.Minute)
	orDefault(&c.GiveUpAfter, 1<<62, 1<<62)
	orDefault(&c.MinBackoff, time.Second, time.Second)
	orDefault(&c.MaxBackoff, 5*time.Minute, 5*time.Minute)
	c.MaxBackoff = max(c.MaxBackoff, c.MinBackoff)
	return c
}

func orDefault[T ~int | ~int64](p *T, zero, negative T) {
	switch {
	case *p == 0:
		*p = zero
	case *p < 0:
		*p = negative
	}
}

// Result is the end of a dump's time in the spool.
type Result struct {
	// Identity of the dump; without service and span if its file was damaged.
	Identity dump.Identity
	// Size of the dump in bytes.
	Size    int64
	Outcome Outcome
	// Err says why the dump was not delivered. It wraps [sink.ErrLost] if
	// the dump is gone.
	Err error
	// Attempts is how often this process has tried to upload it.
	Attempts int
	// Took is how long the last of them took.
	Took time.Duration
	// Age is the time since its Put.
	Age time.Duration
}

// Outcome says what became of a dump.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered" // the destination has it
	Evicted   Outcome = "evicted"   // removed to make room
	Expired   Outcome = "expired"   // removed because of MaxAge
	GivenUp   Outcome = "given_up"  // moved to failed/: nothing but Push tries again
	Damaged   Outcome = "damaged"   // moved to damaged/: the file is not what was put
)

// The kinds of trouble.
const (
	TroubleUpload      = "upload"      // an attempt has failed; it is repeated
	TroubleDestination = "destination" // the destination is left alone for a while
	TroubleStuck       = "stuck"       // the destination ignores its context
	TroubleDirect      = "direct"      // the spool cannot take a dump; the destination got it
	TroubleFolder      = "folder"      // the spool folder cannot be read or changed
	TroubleItem        = "item"        // one file cannot be read, moved or removed
	TroubleDamaged     = "damaged"     // a file is damaged
	TroubleEvicted     = "evicted"     // dumps were lost for lack of room
	TroubleExpired     = "expired"     // dumps were lost because they were too old
	TroubleGivenUp     = "given_up"    // dumps were given up
	TroublePanic       = "panic"       // a defect in the spool, or in what it calls
)

const (
	// copySize is how much of a dump is read and written between two looks at
	// the context.
	copySize = 256 << 10

	// scanEvery is how often the background looks for what other processes have
	// left.
	scanEvery = 30 * time.Second

	// maxRetryAfter is for how long a destination may ask to be left alone.
	maxRetryAfter = time.Hour

	// grace is how long is waited for what should have ended.
	grace = 250 * time.Millisecond

	// abortGrace is how long the background waits for a destination that has
	// used up AttemptTimeout and may be removing what it has uploaded so far.
	abortGrace = 5 * time.Second

	// maxStuck is how many calls of the destination may be stuck, if Concurrency
	// is not more.
	maxStuck = 4
)

// Spool is a [sink.Sink] in front of another one. All its methods may be called
// concurrently.
type Spool struct {
	dest sink.Sink
	name string // of the destination
	cfg  Config // with defaults
	dir  string // cfg.Dir, absolute
	home string // the destination's folder in it
	sys  disk.System
	made disk.Made

	names    names         // dumps that a Put or Delete of this Spool works on
	scanning chan struct{} // lock: reading the folders
	evicting chan struct{} // lock: making room
	events   events

	// base is the context of the background's uploads.
	base   context.Context
	cancel context.CancelFunc
	wake   chan struct{} // has a place: something has changed for the background
	stop   chan struct{} // closed to end the background
	ended  chan struct{} // closed when it has ended

	uploads sync.WaitGroup // of the background

	mu      sync.Mutex
	state   state
	breaker breaker
	closed  bool // Shutdown was called
	changed chan struct{}
}

var (
	_ sink.Forwarder  = (*Spool)(nil)
	_ sink.Shutdowner = (*Spool)(nil)
	_ sink.Router     = (*Spool)(nil)
)

// New returns a Spool in front of dest. Unless it is passive it works in the background
// until Shutdown: it begins with what earlier processes have left. New
// itself touches nothing, so that what is wrong with the folder is an error of Put
// and a call of OnTrouble. The Spool does not shut dest down: whoever has made
// it does that after the Spool's Shutdown.
func New(dest sink.Sink, cfg Config) (*Spool, error) {
	return newSpool(dest, cfg, disk.OS)
}

func newSpool(dest sink.Sink, cfg Config, sys disk.System) (*Spool, error) {
	if dest == nil {
		return nil, errors.New("spool: no destination")
	}
	dir, err := absolute(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Spool{
		dest: dest, name: dest.String(), cfg: cfg.withDefaults(), dir: dir, sys: sys,
		scanning: make(chan struct{}, 1),
		evicting: make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		ended:    make(chan struct{}),
		changed:  make(chan struct{}),
	}
	s.home = homeOf(s.name)
	s.state.init()
	s.breaker.minPause, s.breaker.maxPause = s.cfg.MinBackoff, s.cfg.MaxBackoff
	s.events.onResult, s.events.onTrouble = cfg.OnResult, cfg.OnTrouble
	s.base, s.cancel = context.WithCancel(context.Background())
	if cfg.Passive {
		close(s.ended)
	} else {
		go s.run()
	}
	return s, nil
}

func absolute(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("spool: no folder given")
	}
	if strings.ContainsRune(dir, 0) {
		return "", fmt.Errorf("spool: folder %q has a zero byte in its name", dir)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("spool: folder %s: %w", dir, err)
	}
	return abs, nil
}

// homeOf returns the name of a destination's folder.
func homeOf(destination string) string {
	sum := sha256.Sum256([]byte(destination))
	return hex.EncodeToString(sum[:8])
}

// Dir returns the absolute path of the spool folder.
func (s *Spool) Dir() string { return s.dir }

// Destination returns the Sink that the dumps are brought to.
func (s *Spool) Destination() sink.Sink { return s.dest }

// String describes the spool and its destination for messages.
func (s *Spool) String() string { return s.name + " by way of spool " + s.dir }

// URI says where the dump will lie: it is the destination's.
func (s *Spool) URI(id dump.Identity) string { return s.dest.URI(id) }

// URIFor says where the dump will lie if t made it.
func (s *Spool) URIFor(id dump.Identity, t dump.Trigger) string {
	return sink.URIFor(s.dest, id, t)
}
