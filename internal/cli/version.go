package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion(std *stdio) *cobra.Command {
	var format outputFormat
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  `Print the version of this command, what it was built from, and with which Go.`,
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return version(std, format) },
	}
	addFormat(cmd, &format)
	return cmd
}

type versionJSON struct {
	Version   string `json:"version"` // "(devel)" if not built from a release
	Revision  string `json:"revision"`
	Time      string `json:"time"`
	Modified  bool   `json:"modified"`
	GoVersion string `json:"go_version"`
	GOOS      string `json:"goos"`
	GOARCH    string `json:"goarch"`
}

func version(std *stdio, format outputFormat) error {
	v := versionJSON{Version: "(devel)", GoVersion: runtime.Version(), GOOS: runtime.GOOS, GOARCH: runtime.GOARCH}
	if bi, ok := debug.ReadBuildInfo(); ok {
		if bi.Main.Version != "" {
			v.Version = bi.Main.Version
		}
		for _, s := range bi.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.time":
				v.Time = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if format == formatJSON {
		return writeJSON(std.out, v)
	}
	text := "coredumpy " + v.Version
	if v.Revision != "" {
		text += " (" + shorten(v.Revision, 13)
		if v.Modified {
			text += " modified"
		}
		text += ")"
	}
	_, err := fmt.Fprintf(std.out, "%s %s %s/%s\n", text, v.GoVersion, v.GOOS, v.GOARCH)
	return err
}
