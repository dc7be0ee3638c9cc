package cli

import (
	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

// headerJSON is a dump's header as every command prints it in JSON. Fields may
// be added; none changes its meaning.
type headerJSON struct {
	ID            string            `json:"id"`
	FormatVersion string            `json:"format_version"`
	Time          *string           `json:"time"`
	Trigger       string            `json:"trigger"`
	Name          string            `json:"name"`
	Description   string            `json:"description"`
	Reason        []reasonJSON      `json:"reason"`
	TraceID       string            `json:"trace_id"` // "" outside any trace
	SpanID        string            `json:"span_id"`
	SpanName      string            `json:"span_name"`
	Service       string            `json:"service"`
	Resource      map[string]string `json:"resource"`
	Host          string            `json:"host"`
	PID           int               `json:"pid"`
	GoVersion     string            `json:"go_version"`
	GOOS          string            `json:"goos"`
	GOARCH        string            `json:"goarch"`
	Module        moduleJSON        `json:"module"`
	VCS           vcsJSON           `json:"vcs"`
	Failing       *locationJSON     `json:"failing"` // null if nothing failed or it is not known where
	Counts        countsJSON        `json:"counts"`
	Budgets       []budgetJSON      `json:"budgets"`
	Redactions    []redactionJSON   `json:"redactions"`
	Missing       []missingJSON     `json:"missing"`
}

type reasonJSON struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Parent  int    `json:"parent"` // index of the error that wraps this one, -1 for the outermost
	Panic   bool   `json:"panic"`
	Runtime bool   `json:"runtime"`
}

type moduleJSON struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

type vcsJSON struct {
	Revision string `json:"revision"`
	Time     string `json:"time"`
	Modified bool   `json:"modified"`
}

type locationJSON struct {
	Func      string `json:"func"`
	File      string `json:"file"`
	Line      int    `json:"line"`
	Goroutine int64  `json:"goroutine"`
	Frame     int    `json:"frame"`
}

type countsJSON struct {
	Goroutines int   `json:"goroutines"`
	Frames     int   `json:"frames"`
	Variables  int   `json:"variables"`
	Objects    int   `json:"objects"`
	Bytes      int64 `json:"bytes"`
}

type budgetJSON struct {
	Name  string `json:"name"`
	Unit  string `json:"unit"`
	Limit int64  `json:"limit"` // 0: none
	Spent int64  `json:"spent"`
	Hits  int64  `json:"hits"`
}

type redactionJSON struct {
	Rule  string `json:"rule"`
	Count int64  `json:"count"`
}

type missingJSON struct {
	What string `json:"what"`
	Why  string `json:"why"`
	Hint string `json:"hint"`
}

func newHeaderJSON(h *dump.Header) headerJSON {
	j := headerJSON{
		ID:            h.ID.String(),
		FormatVersion: h.FormatVersion,
		Time:          jsonTime(h.Time),
		Trigger:       string(h.Trigger),
		Name:          h.Name,
		Description:   h.Description,
		Reason:        make([]reasonJSON, 0, len(h.Reason)),
		SpanName:      h.SpanName,
		Service:       h.Service,
		Resource:      make(map[string]string, len(h.Resource)),
		Host:          h.Host,
		PID:           h.PID,
		GoVersion:     h.GoVersion,
		GOOS:          h.GOOS,
		GOARCH:        h.GOARCH,
		Module:        moduleJSON(h.Module),
		VCS:           vcsJSON(h.VCS),
		Failing:       newLocationJSON(h.Failing),
		Counts:        countsJSON(h.Counts),
		Budgets:       make([]budgetJSON, 0, len(h.Budgets)),
		Redactions:    make([]redactionJSON, 0, len(h.Redactions)),
		Missing:       newMissingJSON(h.Missing),
	}
	if !h.TraceID.IsZero() {
		j.TraceID = h.TraceID.String()
	}
	if !h.SpanID.IsZero() {
		j.SpanID = h.SpanID.String()
	}
	for _, r := range h.Reason {
		j.Reason = append(j.Reason, reasonJSON(r))
	}
	for _, kv := range h.Resource {
		j.Resource[kv.Key] = kv.Value
	}
	for _, b := range h.Budgets {
		j.Budgets = append(j.Budgets, budgetJSON(b))
	}
	for _, r := range h.Redactions {
		j.Redactions = append(j.Redactions, redactionJSON(r))
	}
	return j
}

func newLocationJSON(l dump.Location) *locationJSON {
	if l == (dump.Location{}) {
		return nil
	}
	j := locationJSON(l)
	return &j
}

func newMissingJSON(ms []dump.Missing) []missingJSON {
	out := make([]missingJSON, 0, len(ms))
	for _, m := range ms {
		out = append(out, missingJSON(m))
	}
	return out
}
