package disk

import "os"

// syncDir does nothing: Windows does not flush folders on demand, and NTFS
// journals their entries.
func syncDir(*os.File) error { return nil }
