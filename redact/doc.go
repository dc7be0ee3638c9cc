// Package redact decides what may leave the process. Every text that is about
// to go into a dump passes through [Engine.Apply], which replaces each secret
// in it by a [Marker] that says which rule found it and how long it was, and
// nothing of its content.
//
// Four kinds of rules find secrets:
//
//   - names: a variable, field, map key or header whose name is that of a secret
//     (dbPassword, x-api-key) hides its whole value, see [Engine.SecretName];
//   - patterns: tokens of documented shape (AWS, GitHub, JWT, PEM …) and
//     structures such as URLs with a password or password=… pairs, found anywhere
//     in a text;
//   - environment: values of the process's environment variables, whole or as a
//     part of a text, see [Engine.RefreshEnviron];
//   - the user's own: regular expressions and [Redactor] implementations.
//
// docs/redaction.md describes them for users, with what they are known to miss.
//
// # How the parts hand over
//
// A text is read once by an Aho-Corasick automaton (automaton.go) that knows the
// literal beginnings of all patterns, the words of secret names and the
// values of the environment, and once in steps of up to 32 bytes for long
// alphanumeric runs (runs.go). Where the automaton stops, a verifier looks at the
// bytes round the place: tokens.go for provider tokens, structure.go for JWT, PEM,
// Authorization and URLs, pairs.go for pairs, environ.go for environment values.
// Verifiers are written so that the work for a text stays linear in its length
// whatever it holds. A text in which nothing was found is returned as it
// came, without allocation.
//
// The package must never panic on any bytes, never keep a text that it was
// given, and never let a part of a secret into a marker, a finding or an error.
package redact
