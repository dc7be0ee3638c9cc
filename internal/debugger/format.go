package debugger

// LoadConfig says how much of a value is read for printing. The fields, and
// what they mean, are Delve's (service/api.LoadConfig).
type LoadConfig struct {
	// FollowPointers says to read what pointers point at.
	FollowPointers bool
	// MaxVariableRecurse is how many structs, maps and interfaces inside each
	// other are read below the first.
	MaxVariableRecurse int
	// MaxStringLen is how many bytes of a string are read.
	MaxStringLen int
	// MaxArrayValues is how many elements of an array, slice or map are read.
	MaxArrayValues int
	// MaxStructFields is how many fields of a struct are read; -1 is all.
	MaxStructFields int
}

// DefaultLoad is what dlv's print command reads.
func DefaultLoad() LoadConfig {
	return LoadConfig{FollowPointers: true, MaxVariableRecurse: 1, MaxStringLen: 64, MaxArrayValues: 64, MaxStructFields: -1}
}

// ShortLoad is what dlv's locals and args commands read without -v.
func ShortLoad() LoadConfig { return LoadConfig{MaxStringLen: 64, MaxStructFields: 3} }

// Format says how a value is printed.
type Format struct {
	LoadConfig
	// Multiline breaks long composite values into lines, as dlv's print does.
	Multiline bool
	// ShortTypes leaves the folders of package paths out of type names.
	ShortTypes bool
	// Verb is a verb of package fmt ("%x") for the basic values in the value,
	// "" for dlv's own notation. What %s makes of a string may hold control
	// characters.
	Verb string
	// RawStrings prints strings as they are, not as Go literals; the result may
	// then hold control characters.
	RawStrings bool
	// Indent stands before every line but the first.
	Indent string
	// Notes appends [Value.Note], and that of the parts printed, as a comment.
	Notes bool
}

// DefaultFormat is how dlv's print command prints.
func DefaultFormat() Format { return Format{LoadConfig: DefaultLoad(), Multiline: true, Notes: true} }

// ShortFormat is how dlv's locals command prints.
func ShortFormat() Format { return Format{LoadConfig: ShortLoad(), Notes: true} }
