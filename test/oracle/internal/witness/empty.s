// This file lets load.go declare a function without a body.
