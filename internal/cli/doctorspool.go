package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/otelcoredumpy/otelcoredumpy/internal/config"
	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
	"github.com/otelcoredumpy/otelcoredumpy/sink/spool"
)

// checkSpool looks at the folder where dumps wait for their upload: whether it can
// be written to, what disk is left, and what lies there.
func checkSpool(ctx context.Context, std *stdio, cfg *config.Config) []check {
	const name = "spool"
	s, err := cfg.OpenSpool(ctx)
	if err != nil {
		return []check{failedCheck(name, err)}
	}
	if s == nil {
		return nil
	}
	checks := []check{checkWritable(name, s.Dir(), cfg.Spool.MinFree)}
	return append(checks, checkBacklog(ctx, std, s)...)
}

// checkWritable makes and removes a file in a folder, or where it would be made.
func checkWritable(name, dir string, minFree int64) check {
	there := dir
	for {
		_, err := os.Stat(there)
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(there) == there {
			break
		}
		there = filepath.Dir(there)
	}
	c := check{Name: name, Status: statusOK, Text: "folder " + dir}
	if there != dir {
		c.Text += ", which the first dump makes"
	}
	f, err := os.CreateTemp(there, ".coredumpy-doctor-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		c = failedCheck(name, fmt.Errorf("folder %s cannot be written to: %w", there, bare(err)))
		c.Hint = "this is how it is for the user that runs coredumpy; the service may be another. spool.dir names the folder"
		return c
	}
	free, known := freeSpace(there)
	if !known {
		return c
	}
	c.Text += ", " + bytesText(free) + " of the disk are free"
	if free < minFree {
		c.Status = statusWarn
		c.Text += ", which is less than spool.min_free"
		c.Hint = "older dumps are removed and new ones refused until there are " + bytesText(minFree)
	}
	return c
}

// checkBacklog says what lies in the spool.
func checkBacklog(ctx context.Context, std *stdio, s *spool.Spool) []check {
	const name = "spool"
	items, err := s.Items(ctx)
	if err != nil {
		return []check{failedCheck(name, err)}
	}
	count := make(map[spool.State]int)
	var bytes int64
	oldest := ""
	for i := range items {
		count[items[i].State]++
		if st := items[i].State; st == spool.Waiting || st == spool.Uploading {
			bytes += items[i].Size
			if oldest == "" {
				oldest = ageText(std.now().Sub(items[i].ID.Time())) // the first one is
			}
		}
	}
	var checks []check
	waiting := check{Name: name, Status: statusOK, Text: "no dump waits for its upload"}
	if n := count[spool.Waiting] + count[spool.Uploading]; n > 0 {
		waiting.Text = fmt.Sprintf("%s waiting, %s, the oldest for %s", countWas(n, "dump"), bytesText(bytes), oldest)
	}
	checks = append(checks, waiting)
	if n := count[spool.Failed]; n > 0 {
		checks = append(checks, check{
			Name: name, Status: statusWarn, Text: plural(n, "dump") + " could not be uploaded and was given up",
			Hint: "\"coredumpy push\" tries again and says why",
		})
	}
	if n := count[spool.Broken]; n > 0 {
		checks = append(checks, check{
			Name: name, Status: statusWarn, Text: countWas(n, "file") + " damaged and set aside",
			Hint: "\"coredumpy push --dry-run\" lists them; verify, peek and load show what can be read of them",
		})
	}
	for _, o := range otherBacklogs(s) {
		checks = append(checks, check{
			Name: name, Status: statusWarn, Text: fmt.Sprintf("%s waiting for %s", countWas(o.Dumps, "more dump"), orNone(o.Destination)),
			Hint: "they are uploaded by what is configured for that; \"coredumpy push\" with that configuration does it too",
		})
	}
	return checks
}

// checkEncryption reads the keys that the configuration names.
func checkEncryption(cfg *config.Config) []check {
	const name = "encryption"
	var checks []check
	if list := cfg.Encrypt.Recipients; len(list) > 0 {
		recipients, err := encrypt.ParseRecipients(list)
		c := check{Name: name, Status: statusOK, Text: "dumps are encrypted for " + plural(len(recipients), "recipient")}
		if cfg.Encrypt.SealHeader {
			c.Text += ", with their headers"
		}
		if err != nil {
			c = failedCheck(name, fmt.Errorf("encrypt.recipients: %w", err))
			c.Hint = "a service that starts like this makes no dumps"
		}
		checks = append(checks, c)
	}
	if files := cfg.Encrypt.Identities; len(files) > 0 {
		// Nobody is asked for a passphrase.
		_, err := encrypt.ReadIdentities(nil, files...)
		c := check{Name: name, Status: statusOK, Text: "encrypted dumps are opened with " + strings.Join(files, ", ")}
		if err != nil {
			c = failedCheck(name, fmt.Errorf("encrypt.identities: %w", err))
			c.Hint = "it names files with private keys, such as age-keygen makes them"
		}
		checks = append(checks, c)
	}
	return checks
}
