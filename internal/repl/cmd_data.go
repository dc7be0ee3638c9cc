package repl

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/otelcoredumpy/otelcoredumpy/internal/debugger"
)

var errArguments = errors.New("not enough arguments")

func dataCommands() []*command {
	return []*command{
		{
			names: []string{"print", "p"}, group: groupData, scoped: true, run: (*runner).print, complete: completeExpr,
			usage: []string{"print [%format] <expression>"},
			short: "Evaluate an expression.",
			long: `The optional format is a verb of package fmt for the basic values in the result:
"print %x v" prints v in hexadecimal. See also "help expressions".`,
		},
		{
			names: []string{"whatis"}, group: groupData, scoped: true, run: (*runner).whatis, complete: completeExpr,
			usage: []string{"whatis <expression>", "whatis <type name>"},
			short: "Print the type of an expression, or a type.",
		},
		{
			names: []string{"locals"}, group: groupData, scoped: true, complete: completeVars,
			usage: []string{"locals [-v] [<regex>]"},
			short: "Print local variables.",
			long: `The names of variables that are shadowed in the current scope are shown in
parentheses. With a regular expression only the variables with a name that
matches it are shown; with -v each is printed as print does.`,
			run: func(r *runner, c call) error { return r.vars(c, "locals", c.scope.Locals()) },
		},
		{
			names: []string{"args"}, group: groupData, scoped: true, complete: completeVars,
			usage: []string{"args [-v] [<regex>]"},
			short: "Print function arguments and results.",
			long:  `The flag and the regular expression are as with locals.`,
			run:   func(r *runner, c call) error { return r.vars(c, "args", c.scope.Args()) },
		},
		{
			names: []string{"vars"}, group: groupData, run: (*runner).packageVars, complete: completePackageVars,
			usage: []string{"vars [-v] [<regex>]"},
			short: "Print package variables.",
			long: `Those that capture.variables names are in a dump. The flag is as with locals; the
regular expression is matched against import path, dot and name.`,
		},
		{
			names: []string{"config"}, group: groupOther, run: (*runner).config, complete: completeConfig,
			usage: []string{"config -list", "config <parameter> <value>"},
			short: "Show or change the limits of printing, for this session.",
			long: `max-string-len        bytes of a string that are printed
max-array-values      elements of an array, slice or map that are printed
max-variable-recurse  structs, maps and interfaces inside each other that are printed
show-raw-strings      print strings as they are instead of as Go literals`,
		},
	}
}

func (r *runner) format() debugger.Format {
	f := debugger.DefaultFormat()
	f.LoadConfig = r.load
	if r.raw {
		f.RawStrings = true
	}
	return f
}

func (r *runner) print(c call) error {
	f := r.format()
	expr := c.args
	if strings.HasPrefix(expr, "%") {
		f.Verb, expr = word(expr)
	}
	if expr == "" {
		return errArguments
	}
	v, err := c.scope.Eval(expr)
	if err != nil {
		return err
	}
	r.value(v, f)
	return nil
}

// value prints a value, with its note in another colour.
func (r *runner) value(v *debugger.Value, f debugger.Format) {
	text, note := v.Print(f)
	fmt.Fprint(r.out, text)
	if note != "" {
		r.out.print(grey, " // "+note)
	}
	fmt.Fprintln(r.out)
}

func (r *runner) whatis(c call) error {
	if c.args == "" {
		return errArguments
	}
	info, err := c.scope.WhatIs(c.args)
	if err != nil {
		return err
	}
	fmt.Fprintln(r.out, info)
	return nil
}

// packageVars is vars.
func (r *runner) packageVars(c call) error {
	f := debugger.ShortFormat()
	filter := c.args
	if first, rest := word(filter); first == "-v" {
		f, filter = r.format(), rest
	}
	re, err := regexp.Compile(filter)
	if err != nil {
		return fmt.Errorf("malformed regular expression: %w", err)
	}
	list, err := r.s.PackageVars(re)
	for _, v := range list {
		if r.ctx.Err() != nil {
			return nil // interruptible says so
		}
		fmt.Fprintf(r.out, "%s = ", v.FullName())
		r.value(v.Value, f)
	}
	if len(list) > 0 || err != nil {
		return err
	}
	fmt.Fprintln(r.out, "(no vars)")
	if r.s.NumPackageVars() == 0 {
		r.out.print(grey, "package variables are in a dump if the service's capture.variables names them")
		fmt.Fprintln(r.out)
	}
	for _, m := range r.s.Header().Missing {
		if m.What == "package variables" {
			r.out.print(grey, "missing "+debugger.DescribeMissing(m))
			fmt.Fprintln(r.out)
		}
	}
	return nil
}

// vars prints the variables of a list whose names match c.args.
func (r *runner) vars(c call, what string, vars []debugger.Variable) error {
	f := debugger.ShortFormat()
	filter := c.args
	if first, rest := word(filter); first == "-v" {
		f, filter = r.format(), rest
	}
	re, err := regexp.Compile(filter)
	if err != nil {
		return fmt.Errorf("malformed regular expression: %w", err)
	}
	found := false
	for _, v := range vars {
		if !re.MatchString(v.Name) {
			continue
		}
		found = true
		name := v.Name
		if v.Shadowed {
			name = "(" + name + ")"
		}
		fmt.Fprintf(r.out, "%s = ", name)
		r.value(v.Value, f)
	}
	if found {
		return nil
	}
	fmt.Fprintf(r.out, "(no %s)\n", what)
	if len(vars) == 0 {
		for _, m := range c.scope.Missing() {
			r.out.print(grey, "missing "+m)
			fmt.Fprintln(r.out)
		}
	}
	return nil
}

// setting is a parameter of config.
type setting struct {
	name string
	get  func(*runner) string
	set  func(*runner, string) error
}

func settings() []setting {
	number := func(name string, at func(*runner) *int) setting {
		return setting{
			name: name,
			get:  func(r *runner) string { return strconv.Itoa(*at(r)) },
			set: func(r *runner, s string) error {
				const most = 1 << 24
				n, err := strconv.Atoi(s)
				if err != nil || n < 0 || n > most {
					return fmt.Errorf("%s: want a number from 0 to %d, not %q", name, most, s)
				}
				*at(r) = n
				return nil
			},
		}
	}
	return []setting{
		number("max-string-len", func(r *runner) *int { return &r.load.MaxStringLen }),
		number("max-array-values", func(r *runner) *int { return &r.load.MaxArrayValues }),
		number("max-variable-recurse", func(r *runner) *int { return &r.load.MaxVariableRecurse }),
		{
			name: "show-raw-strings",
			get:  func(r *runner) string { return strconv.FormatBool(r.raw) },
			set: func(r *runner, s string) error {
				b, err := strconv.ParseBool(s)
				if err != nil {
					return fmt.Errorf("show-raw-strings: want true or false, not %q", s)
				}
				r.raw = b
				return nil
			},
		},
	}
}

func (r *runner) config(c call) error {
	name, value := word(c.args)
	switch {
	case name == "":
		return errArguments
	case name == "-list":
		w := tabwriter.NewWriter(r.out, 0, 8, 1, ' ', 0)
		for _, s := range settings() {
			fmt.Fprintf(w, "%s\t%s\n", s.name, s.get(r))
		}
		return w.Flush()
	}
	for _, s := range settings() {
		if s.name == name {
			if value == "" {
				return errArguments
			}
			return s.set(r, value)
		}
	}
	return fmt.Errorf("%q is not a configuration parameter; see config -list", name)
}
