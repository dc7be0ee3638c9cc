package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write config.yaml and the table of docs/configuration.md")

// The sample configuration at the root of the repository is made of the table
// of keys, so it documents each of them, and sets each to its default.
func TestSampleConfiguration(t *testing.T) {
	path := filepath.Join("..", "..", "config.yaml")
	golden(t, path, sample())

	// What it says must be what holds without it.
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	clean(t)
	cfg, _, err := Load(LoadOptions{File: abs})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	for _, list := range []*[]string{&want.Capture.Variables, &want.Debug.Path, &want.Redact.EnvironAllow, &want.Redact.Patterns, &want.Redact.Names, &want.Redact.AllowNames, &want.Redact.Disable, &want.Trigger.Exclude, &want.Trigger.Rules, &want.Trigger.RecoveredBy, &want.Sink.Also, &want.Sink.Routes, &want.Sink.S3.Tags, &want.Encrypt.Recipients, &want.Encrypt.Identities} {
		*list = []string{} // the file says so instead of saying nothing
	}
	if !reflect.DeepEqual(*cfg, want) {
		t.Errorf("config.yaml loads as %+v\nwant %+v", *cfg, want)
	}

	b, err := os.ReadFile(abs)
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	var walk func(n *yaml.Node, prefix string)
	walk = func(n *yaml.Node, prefix string) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, val := n.Content[i], n.Content[i+1]
			name := prefix + key.Value
			if strings.TrimSpace(key.HeadComment) == "" {
				t.Errorf("config.yaml says nothing about %s", name)
			}
			if val.Kind == yaml.MappingNode {
				walk(val, name+".")
			} else {
				found[name] = true
			}
		}
	}
	walk(doc.Content[0], "")
	for _, k := range Keys() {
		if !found[k.Key] {
			t.Errorf("config.yaml has no %s", k.Key)
		}
		delete(found, k.Key)
	}
	for name := range found {
		t.Errorf("config.yaml has %s, which is no key", name)
	}
}

func TestReferenceOfKeys(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "configuration.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- keys: made by go test ./internal/config -update -->\n", "<!-- end of keys -->\n"
	i, j := bytes.Index(b, []byte(begin)), bytes.Index(b, []byte(end))
	if i < 0 || j < i {
		t.Fatalf("%s has no place for the keys", path)
	}
	golden(t, path, string(b[:i])+begin+reference()+string(b[j:]))
}

func golden(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the keys are; run go test ./internal/config -update", path)
	}
}

// sectionDocs says what the sections are for.
var sectionDocs = map[string]string{
	"capture":        "What goes into a dump, and how long that may take. Whatever a limit cuts off says so in the dump.",
	"debug_info":     "Where the program's debug info is found and kept; docs/debuginfo.md says more.",
	"redact":         "What must not leave the process. docs/redaction.md says how it is found.",
	"trigger":        "What makes a dump.",
	"trigger.sample": "Which share of the failures gets a dump: 1 is all, 0.1 every tenth. The trace ID decides, so that spans of one trace agree.",
	"limit":          "What protects the service when much fails at once; docs/storms.md says more.",
	"sink":           "Where dumps go.",
	"spool":          "Where dumps wait for their upload; docs/spool.md says more.",
	"upload":         "How dumps get from the spool to the sink.",
	"encrypt":        "Encryption of the dumps themselves; docs/encryption.md says more.",
	"sink.local":     "For sink.type local.",
	"sink.s3":        "For sink.type s3.",
	"link":           "What a span says of its dump.",
}

func sample() string {
	var b strings.Builder
	b.WriteString(`# Configuration of otelcoredumpy: the library and the command read the same file.
#
# Every key is here, with its default, so this file changes nothing as it is.
# Keys that are left out have their defaults; unknown keys are errors.
#
# The file is looked for at $COREDUMPY_CONFIG, ./config.yaml,
# $XDG_CONFIG_HOME/coredumpy/config.yaml, /etc/coredumpy/config.yaml; the
# command also has --config. Each key has an environment variable, which goes
# over the file: COREDUMPY_SINK_S3_BUCKET for sink.s3.bucket. In a file that also
# serves the application, put all of this under a section "coredumpy". More in
# docs/configuration.md.
`)
	open := []string{}
	for _, k := range Keys() {
		parts := strings.Split(k.Key, ".")
		sections := parts[:len(parts)-1]
		common := 0
		for common < len(open) && common < len(sections) && open[common] == sections[common] {
			common++
		}
		for i := common; i < len(sections); i++ {
			indent := strings.Repeat("  ", i)
			if i == 0 {
				b.WriteString("\n")
			}
			comment(&b, indent, sectionDocs[strings.Join(sections[:i+1], ".")])
			fmt.Fprintf(&b, "%s%s:\n", indent, sections[i])
		}
		if len(sections) == 0 {
			b.WriteString("\n")
		}
		open = sections
		indent := strings.Repeat("  ", len(sections))
		text := k.Doc
		if len(k.Allowed) > 0 {
			text += " One of: " + strings.Join(k.Allowed, ", ") + "."
		}
		comment(&b, indent, text)
		fmt.Fprintf(&b, "%s%s: %s\n", indent, parts[len(parts)-1], k.Default)
	}
	return b.String()
}

// comment writes text as comment lines of at most 80 characters.
func comment(b *strings.Builder, indent, text string) {
	line := indent + "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 80 && line != indent+"#" {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

func reference() string {
	var b strings.Builder
	b.WriteString("\n| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range Keys() {
		typ := k.Type
		if len(k.Allowed) > 0 {
			typ = "`" + strings.Join(k.Allowed, "`, `") + "`"
		}
		text := strings.NewReplacer("|", "\\|", "<", "&lt;", ">", "&gt;").Replace(k.Doc)
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", k.Key, typ, k.Default, text)
	}
	b.WriteString("\n")
	return b.String()
}
