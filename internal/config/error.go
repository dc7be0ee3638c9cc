package config

import "strings"

// Error says what is wrong with a configuration.
type Error struct {
	// Source says where the key stands: "config file ./config.yaml",
	// "environment variable COREDUMPY_SINK_TYPE", "viper instance". It is ""
	// if the key was not set anywhere, or was set in code.
	Source string
	// File is the path of the file, "" if it is not about one.
	File string
	// Key is the key with its sections, "sink.s3.bucket"; "" if it is about
	// the file as a whole.
	Key string
	// Msg says what is wrong; "" if Err says it.
	Msg string
	// Hint says what to do about it, "" if there is nothing to say.
	Hint string
	// Err is the cause, if there is one.
	Err error
}

// Error returns source, key and what is wrong, with the hint behind.
func (e *Error) Error() string {
	var parts []string
	if e.Source != "" {
		parts = append(parts, e.Source)
	}
	if e.Key != "" {
		parts = append(parts, e.Key)
	}
	if e.Msg != "" {
		parts = append(parts, e.Msg)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	s := strings.Join(parts, ": ")
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
