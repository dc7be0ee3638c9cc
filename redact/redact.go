package redact

// Site says where a text stands in a dump. Some rules behave differently by
// site; see the comments of the constants and docs/redaction.md.
type Site uint8

// The sites.
const (
	SiteValue       Site = iota // the content of a string
	SiteBytes                   // the content of a []byte, [N]byte, bytes.Buffer, …; any bytes
	SiteKey                     // a map key
	SitePanic                   // the text of a panic value
	SiteError                   // the message of an error
	SiteDescription             // given by the caller of Dump: name, description
	SiteAttribute               // the value of a span, resource or log attribute, or a span's name
	SiteSource                  // stored source code, one line or many; line feeds always survive
	SiteCommandLine             // the process's command line
	SiteLabel                   // the value of a goroutine (pprof) label
	SitePath                    // a file name
	SiteSymbol                  // the name of a function, type, module or package
)

var siteNames = [...]string{
	SiteValue: "value", SiteBytes: "bytes", SiteKey: "key", SitePanic: "panic", SiteError: "error",
	SiteDescription: "description", SiteAttribute: "attribute", SiteSource: "source", SiteCommandLine: "command_line",
	SiteLabel: "label", SitePath: "path", SiteSymbol: "symbol",
}

// String returns the site's name: "value", "command_line", …
func (s Site) String() string {
	if int(s) < len(siteNames) {
		return siteNames[s]
	}
	return "unknown"
}

// Text is a piece of text that is about to go into a dump, with what is known
// of it. Everything but Value may be empty.
type Text struct {
	// Value may hold any bytes. It is only read while the call lasts.
	Value string
	// Name is the nearest name: of the variable, field, map key, header,
	// attribute key. A name that is secret hides the whole value.
	Name string
	// Type is the Go type as dump.Type.Name has it.
	Type string
	Site Site
}

// Finding is a part of a text that must not go into a dump.
type Finding struct {
	Rule       string // ID of the rule that found it
	Start, End int    // byte offsets in Text.Value, Start < End
}

// Redactor finds what is secret in a text, for what the rules of an [Engine]
// do not know. Redact must be safe for concurrent use, must not keep t.Value,
// and should be quick: it is called for every text of every dump. Findings may
// overlap and come in any order; offsets outside the text are cut off at its
// ends. A Redactor that panics has the whole text redacted as
// "redactor-panic".
type Redactor interface {
	Redact(t Text) []Finding
}

// RedactorFunc makes a function a [Redactor].
type RedactorFunc func(t Text) []Finding

// Redact calls f.
func (f RedactorFunc) Redact(t Text) []Finding { return f(t) }
