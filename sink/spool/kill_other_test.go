//go:build !unix

package spool

func helperMain() bool { return false }
