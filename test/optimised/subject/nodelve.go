//go:build !delve

package main

func startWitness() {}
