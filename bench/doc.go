// Package bench measures what otelcoredumpy costs a service, with the checkout
// example as the service. It is a module of its own, so that whatever it comes
// to depend on never reaches users.
package bench
