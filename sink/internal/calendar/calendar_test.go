package calendar

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/otelcoredumpy/otelcoredumpy/sink"
)

var folders = map[string][]string{
	"v1/days/":         {"2024", "2026", "2025", "99", "20x6", "2025-old", "2026", "..", "0000"},
	"v1/days/0000/":    nil,
	"v1/days/2024/":    {"12"},
	"v1/days/2025/":    {"01", "13", "1", "12", "00"},
	"v1/days/2026/":    {"02"},
	"v1/days/2024/12/": {"31"},
	"v1/days/2025/01/": {"01", "31", "32"},
	"v1/days/2025/12/": {"30", "31", "31x"},
	"v1/days/2026/02/": {"29", "28", "01"}, // 2026 has no 29 February
}

func day(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestDays(t *testing.T) {
	zone := time.FixedZone("", 5*3600)
	for _, tc := range []struct {
		name  string
		q     sink.Query
		want  []string
		reads []string
	}{
		{
			name: "all",
			want: []string{"2026-02-28", "2026-02-01", "2025-12-31", "2025-12-30", "2025-01-31", "2025-01-01", "2024-12-31"},
			reads: []string{
				"v1/days/", "v1/days/2026/", "v1/days/2026/02/", "v1/days/2025/", "v1/days/2025/12/", "v1/days/2025/01/",
				"v1/days/2024/", "v1/days/2024/12/", "v1/days/0000/",
			},
		},
		{
			name:  "since the middle of a day",
			q:     sink.Query{Since: day("2025-12-31 12:00")},
			want:  []string{"2026-02-28", "2026-02-01", "2025-12-31"},
			reads: []string{"v1/days/", "v1/days/2026/", "v1/days/2026/02/", "v1/days/2025/", "v1/days/2025/12/"},
		},
		{
			name:  "until is not included",
			q:     sink.Query{Since: day("2025-12-30 00:00"), Until: day("2025-12-31 00:00")},
			want:  []string{"2025-12-30"},
			reads: []string{"v1/days/", "v1/days/2025/", "v1/days/2025/12/"},
		},
		{
			name:  "another zone",
			q:     sink.Query{Since: day("2025-12-31 23:00").In(zone), Until: day("2026-01-01 01:00").In(zone)},
			want:  []string{"2025-12-31"},
			reads: []string{"v1/days/", "v1/days/2026/", "v1/days/2025/", "v1/days/2025/12/"},
		},
		{
			name:  "nothing there",
			q:     sink.Query{Since: day("2027-01-01 00:00")},
			reads: []string{"v1/days/"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got, reads []string
			children := func(prefix string) ([]string, error) {
				reads = append(reads, prefix)
				names, ok := folders[prefix]
				if !ok {
					t.Errorf("read %q, which cannot hold a day", prefix)
				}
				return append([]string(nil), names...), nil
			}
			for d, err := range Days(tc.q, children) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, d.Format("2006-01-02"))
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("days %v, want %v", got, tc.want)
			}
			if !reflect.DeepEqual(reads, tc.reads) {
				t.Errorf("read %v, want %v", reads, tc.reads)
			}
		})
	}
}

func TestDaysStopsEarly(t *testing.T) {
	reads := 0
	for d, err := range Days(sink.Query{}, func(prefix string) ([]string, error) {
		reads++
		return append([]string(nil), folders[prefix]...), nil
	}) {
		if err != nil || d.Format("2006-01-02") != "2026-02-28" {
			t.Fatalf("first day %v, %v", d, err)
		}
		break
	}
	if reads != 3 {
		t.Errorf("read %d folders for the newest day, want 3", reads)
	}
}

func TestDaysError(t *testing.T) {
	boom := errors.New("boom")
	for failing := range folders {
		if failing == "v1/days/0000/" {
			continue
		}
		var last error
		for _, err := range Days(sink.Query{}, func(prefix string) ([]string, error) {
			if prefix == failing {
				return nil, boom
			}
			return append([]string(nil), folders[prefix]...), nil
		}) {
			if last != nil {
				t.Errorf("%s: went on after an error", failing)
			}
			last = err
		}
		if !errors.Is(last, boom) {
			t.Errorf("%s: last error %v, want boom", failing, last)
		}
	}
}
