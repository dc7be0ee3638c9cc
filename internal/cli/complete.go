package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

// Completion must not make a prompt hang on a slow store, nor flood it.
const (
	completeTime = 1500 * time.Millisecond
	completeMost = 50
)

// completer is a function that offers words for an argument or a flag.
type completer = func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeTraces offers the trace IDs of the newest dumps.
func completeTraces(w *where) completer {
	return completeEntries(w, func(e sink.Entry) (string, string) {
		if e.TraceID.IsZero() {
			return "", ""
		}
		return e.TraceID.String(), clean(e.Service) + " " + e.ID.Time().Local().Format(time.DateTime)
	})
}

// completeServices offers the services of the newest dumps.
func completeServices(w *where) completer {
	return completeEntries(w, func(e sink.Entry) (string, string) { return clean(e.Service), "" })
}

// completeEntries offers a word and a description from each of the newest
// dumps, each word once, and none of the arguments that are there already.
func completeEntries(w *where, word func(sink.Entry) (text, about string)) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completeTime)
		defer cancel()
		st, err := w.open(ctx)
		if err != nil {
			cobra.CompErrorln(err.Error())
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		seen := make(map[string]bool)
		for _, a := range args {
			seen[a] = true
		}
		var words []cobra.Completion
		n := 0
		for e, err := range st.List(ctx, sink.Query{}) {
			if n++; err != nil || n > completeMost {
				break
			}
			text, about := word(e)
			if text == "" || seen[text] {
				continue
			}
			seen[text] = true
			words = append(words, cobra.CompletionWithDesc(text, about))
		}
		return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeDumps offers dump files, as many as the command takes (-1: any
// number).
func completeDumps(most int) completer {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return []cobra.Completion{"cdmp"}, cobra.ShellCompDirectiveFilterFileExt
	}
}
