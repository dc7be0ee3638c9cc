//go:build !linux

package capture

func haveRoom(int64) bool { return true }
