module github.com/otelcoredumpy/otelcoredumpy/test/oracle

go 1.26.0

replace github.com/otelcoredumpy/otelcoredumpy => ../..

require (
	github.com/go-delve/delve v1.27.1
	github.com/otelcoredumpy/otelcoredumpy v0.0.0-00010101000000-000000000000
)

require (
	github.com/cilium/ebpf v0.11.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	golang.org/x/arch v0.28.0 // indirect
	golang.org/x/exp v0.0.0-20230224173230-c95f2b4c22f2 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/telemetry v0.0.0-20241106142447-58a1122356f5 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
