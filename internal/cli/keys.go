package cli

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/otelcoredumpy/otelcoredumpy/sink/encrypt"
)

// identityEnv names the files with private keys where --identity does not.
const identityEnv = "COREDUMPY_IDENTITY"

// keys are the private keys that open encrypted dumps. They are read when the
// first such dump needs them, so that nobody is asked for a passphrase in vain.
type keys struct {
	std   *stdio
	w     *where
	files []string // --identity

	mu   sync.Mutex
	read bool
	ids  []age.Identity
	err  error
}

// newKeys gives a command the flag --identity.
func newKeys(cmd *cobra.Command, std *stdio, w *where) *keys {
	k := &keys{std: std, w: w}
	// An array, not a slice: a file name may have commas in it.
	cmd.Flags().StringArrayVarP(&k.files, "identity", "i", nil, "open encrypted dumps with the private key in `FILE`; can be given several times")
	_ = cmd.MarkFlagFilename("identity")
	return k
}

// identities returns the keys; none is no error.
func (k *keys) identities() ([]age.Identity, error) {
	if k == nil {
		return nil, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.read {
		k.read = true
		k.ids, k.err = k.load()
	}
	return slices.Clone(k.ids), k.err
}

// load reads the files that --identity names, else those of the environment,
// else those of the configuration.
func (k *keys) load() ([]age.Identity, error) {
	files := k.files
	if len(files) == 0 && k.std.getenv != nil {
		files = filepath.SplitList(k.std.getenv(identityEnv))
	}
	if len(files) == 0 {
		cfg, _, err := k.w.load()
		if err != nil {
			return nil, err
		}
		files = cfg.Encrypt.Identities
	}
	if len(files) == 0 {
		return nil, nil
	}
	ids, err := encrypt.ReadIdentities(k.std.ask, files...)
	if err != nil {
		err = hint(err, "the file holds the private key that belongs to one of the service's recipients, as age-keygen makes it")
	}
	return ids, err
}

// keyError adds to an error of decryption what to do about it.
func keyError(err error) error {
	var none *encrypt.NoIdentityError
	if errors.As(err, &none) {
		return hint(err, "%s", hintIdentity)
	}
	return err
}

const hintIdentity = "give the private key with --identity FILE, $" + identityEnv + " or encrypt.identities in the configuration"
