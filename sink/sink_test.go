package sink_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

func TestPermanent(t *testing.T) {
	if sink.Permanent(nil) != nil {
		t.Error("Permanent(nil) is not nil")
	}
	err := sink.Permanent(fs.ErrInvalid)
	if err.Error() != fs.ErrInvalid.Error() || !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Permanent has changed the error to %v", err)
	}
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{fs.ErrPermission, false},
		{err, true},
		{fmt.Errorf("storing: %w", err), true},
		{errors.Join(fs.ErrPermission, err), true},
		{sink.ErrNotFound, true},
		{fmt.Errorf("opening: %w", sink.ErrNotFound), true},
	} {
		if got := sink.IsPermanent(tc.err); got != tc.want {
			t.Errorf("IsPermanent(%v) = %t", tc.err, got)
		}
	}
}

func TestQueryMatch(t *testing.T) {
	id := identity(t, id1, trace1, "checkout")
	at := id.ID.Time()
	for _, tc := range []struct {
		name string
		q    sink.Query
		want bool
	}{
		{"everything", sink.Query{}, true},
		{"since then", sink.Query{Since: at}, true},
		{"since inside the millisecond", sink.Query{Since: at.Add(999 * time.Microsecond)}, true},
		{"since later", sink.Query{Since: at.Add(time.Millisecond)}, false},
		{"until then", sink.Query{Until: at}, false},
		{"until a nanosecond later", sink.Query{Until: at.Add(1)}, true},
		{"the service", sink.Query{Service: "checkout"}, true},
		{"another service", sink.Query{Service: "till"}, false},
		{"no service", sink.Query{Service: sink.UnknownService}, false},
	} {
		if got := tc.q.Match(id); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
	id.Service = ""
	if !(sink.Query{Service: sink.UnknownService}).Match(id) {
		t.Error("a dump without a service is not found as one of the unknown service")
	}
}
