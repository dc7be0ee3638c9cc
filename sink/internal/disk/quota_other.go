//go:build !unix && !windows

package disk

import "syscall"

const errQuota = syscall.ENOSPC // there are no quotas
