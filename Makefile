# make test is the one command that checks everything; it installs what it needs.

include tools/tools.mk

BIN   := $(CURDIR)/.cache/bin
GO    := go
PATH  := $(BIN):$(PATH)
export PATH
# Race builds of the whole dependency tree are slow on two cores; nothing here depends on time.
# -count=1: what the tests build by themselves is nothing that the test cache knows of.
TESTFLAGS := -count=1 -timeout 40m

.PHONY: test quick lint tools debian unit race cross bench generate proto fuzz clean vuln

test: debian tools lint cross race test-arm64 benchcheck oracle optimised strangers vuln

quick: lint
	$(GO) test -short $(TESTFLAGS) ./...

# Programs of the system that the tests run: Python for the reader of the format that
# is not ours.
debian:
	@command -v python3 >/dev/null || { echo "installing python3"; \
		if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy --no-install-recommends python3; \
		else sudo apt-get update -q && sudo apt-get install -qy --no-install-recommends python3; fi; }

tools: $(BIN)/staticcheck $(BIN)/gofumpt $(BIN)/versitygw

# The version is part of the stamp, so a new pin installs anew.
$(BIN)/staticcheck: tools/tools.mk
	GOBIN=$(BIN) $(GO) install $(STATICCHECK) && touch $@
$(BIN)/gofumpt: tools/tools.mk
	GOBIN=$(BIN) $(GO) install $(GOFUMPT) && touch $@
$(BIN)/versitygw: tools/tools.mk
	GOBIN=$(BIN) $(GO) install $(VERSITYGW) && touch $@
$(BIN)/govulncheck: tools/tools.mk
	GOBIN=$(BIN) $(GO) install $(GOVULNCHECK) && touch $@

lint: $(BIN)/staticcheck $(BIN)/gofumpt
	@out=$$(gofumpt -l $$(git ls-files --cached --others --exclude-standard '*.go' | grep -v '\.pb\.go$$')); if [ -n "$$out" ]; then echo "not formatted by gofumpt:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	staticcheck ./...

# What must build everywhere, and degrade honestly where it cannot capture.
cross:
	GOOS=linux   GOARCH=arm64 $(GO) vet ./...
	GOOS=darwin  GOARCH=arm64 $(GO) vet ./...
	GOOS=windows GOARCH=amd64 $(GO) vet ./...

unit:
	$(GO) test $(TESTFLAGS) ./...

# What the race detector's builds do not keep in registers, or are too slow for, is tested without.
UNRACED := ^(TestPreempted|TestFaultFloats|TestCalleeSpills|TestDead|TestTorn)$$
race:
	COREDUMPY_VERSITYGW=$(BIN)/versitygw $(GO) test -race $(TESTFLAGS) -skip '$(UNRACED)' ./...
	$(GO) test $(TESTFLAGS) -run '$(UNRACED)' ./capture
	$(GO) test $(TESTFLAGS) ./dump/... # its exhaustive tests are sampled under -race

# The benchmarks live in a module of their own; that they still run is checked, their figures are not.
.PHONY: benchcheck
benchcheck:
	cd bench && $(GO) vet ./... && $(GO) test -run . -bench . -benchtime 1x ./...

# The engine on arm64, under qemu-user. What is skipped builds programs by itself; the
# programs that matter run by COREDUMPY_ARCH.
.PHONY: test-arm64
QEMU := qemu-aarch64-static
test-arm64:
	@command -v $(QEMU) >/dev/null && test -d $(QEMU_LD_PREFIX) || { echo "installing qemu-user-static"; \
		if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy --no-install-recommends qemu-user-static libc6-arm64-cross; \
		else sudo apt-get update -q && sudo apt-get install -qy --no-install-recommends qemu-user-static libc6-arm64-cross; fi; }
	@mkdir -p .cache
	GOARCH=arm64 CGO_ENABLED=0 $(GO) test -c -o .cache/capture.arm64.test ./capture
	cd capture && $(QEMU) $(CURDIR)/.cache/capture.arm64.test -test.skip '$(ARM64_SKIP)' -test.timeout 20m
	COREDUMPY_ARCH=arm64 $(GO) test $(TESTFLAGS) -run 'TestScenarios' ./capture
# Position independent programs have the system's loader start them.
export QEMU_LD_PREFIX := /usr/aarch64-linux-gnu
ARM64_SKIP := Scenarios|Torture|TestGlobals|TestTypeSupports|DamagedDebugInfo

# The engine under conditions that are hard on it, for longer than in "make test".
.PHONY: torture
TORTURE_ROUNDS := 50
torture:
	COREDUMPY_TORTURE=$(TORTURE_ROUNDS) $(GO) test $(TESTFLAGS) -v -run Torture ./capture

# Programs on other people's modules, which have a module of their own so that users never download these.
.PHONY: strangers
strangers:
	cd test/strangers && $(GO) vet ./... && $(GO) test $(TESTFLAGS) ./...

# Delve reads the same process as the engine, in all builds; a module of its own, too. What it builds is kept.
.PHONY: oracle
oracle:
	cd test/oracle && $(GO) vet ./... && $(GO) test $(TESTFLAGS) ./internal/... && $(GO) test $(TESTFLAGS) -v . -bin $(CURDIR)/.cache/oracle

# What optimised builds show, against the truth and Delve.
.PHONY: optimised
optimised:
	cd test/optimised && $(GO) vet ./... && $(GO) vet -tags delve ./... && $(GO) test $(TESTFLAGS) -timeout 30m ./...

bench:
	$(GO) test -run xxx -bench . -count 5 ./capture ./dump ./redact ./exporter .
	cd bench && $(GO) test -run xxx -bench . -count 5 ./...

# The vulnerability database cannot be reached everywhere; where it can, findings fail.
vuln: $(BIN)/govulncheck
	@if out=$$(govulncheck ./... 2>&1); then echo "govulncheck: nothing found"; \
	elif echo "$$out" | grep -qE 'no such host|connection refused|timeout|403|dial tcp'; then echo "govulncheck: its database cannot be reached from here"; \
	else echo "$$out"; exit 1; fi

FUZZTIME := 30s
fuzz:
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		echo "$$p $$f"; $(GO) test -run xxx -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

generate: proto
	$(GO) generate ./...

proto:
	sh dump/dumppb/generate.sh

clean:
	rm -rf .cache dumps
