package spool

import (
	"context"
	"fmt"
	"sync"
)

// maxEvents is how many calls of OnResult and OnTrouble may wait for one that
// does not return. More are dropped.
const maxEvents = 4096

// events calls OnResult and OnTrouble, one at a time and in order, on a goroutine
// that is there only while there is something to tell. So whoever has something
// to tell holds no lock meanwhile and does not wait.
type events struct {
	onResult  func(Result)
	onTrouble func(kind string, err error)

	mu      sync.Mutex
	list    []func()
	idle    chan struct{} // closed when all is told; nil if it is
	dropped uint64
}

func (e *events) result(r Result) {
	if e.onResult != nil {
		e.add(func() { e.onResult(r) })
	}
}

func (e *events) trouble(kind string, err error) {
	if e.onTrouble != nil {
		e.add(func() { e.onTrouble(kind, err) })
	}
}

func (e *events) add(call func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) >= maxEvents {
		e.dropped++
		return
	}
	e.list = append(e.list, call)
	if e.idle == nil {
		e.idle = make(chan struct{})
		go e.run()
	}
}

func (e *events) run() {
	ended := false
	defer func() {
		if !ended { // a callee has called runtime.Goexit
			go e.run()
		}
	}()
	for {
		e.mu.Lock()
		if len(e.list) == 0 {
			e.list = nil
			close(e.idle)
			e.idle = nil
			ended = true
			e.mu.Unlock()
			return
		}
		call := e.list[0]
		e.list[0] = nil
		e.list = e.list[1:]
		e.mu.Unlock()
		e.call(call)
	}
}

// call contains what it calls. Who was told of the trouble would be the one to
// be told of the panic, so it is only counted.
func (e *events) call(call func()) {
	returned := false
	defer func() {
		if !returned {
			_ = recover()
			e.mu.Lock()
			e.dropped++
			e.mu.Unlock()
		}
	}()
	call()
	returned = true
}

// wait waits until all is told, or until ctx is done.
func (e *events) wait(ctx context.Context) error {
	e.mu.Lock()
	idle := e.idle
	e.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("telling the results: %w", ctx.Err())
	}
}

func (s *Spool) trouble(kind string, err error) { s.events.trouble(kind, err) }

// contain is deferred where the Spool's own code runs on a goroutine of its own.
func (s *Spool) contain(doing string) {
	if r := recover(); r != nil {
		s.trouble(TroublePanic, fmt.Errorf("panic while %s: %v", doing, r))
	}
}
