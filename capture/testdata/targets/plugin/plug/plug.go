// Command plug is a plugin with a function that fails; see images_test.go.
package main

type Job struct {
	ID     int
	Tags   []string
	Limits map[string]int
	Next   *Job
	Any    any
}

type private struct{ A, B int }

//go:noinline
func run(j *Job, n int) int {
	label := "job-" + j.Tags[0]
	total := j.Limits["cpu"] * n
	p := private{total, n}
	x := j.Next.ID // FAIL: plugin
	println(label, total, p.A, x)
	return total
}

func Run(n int) int {
	j := &Job{ID: 7, Tags: []string{"a", "b"}, Limits: map[string]int{"cpu": 4}, Any: private{1, 2}}
	return run(j, n)
}

func main() {}
