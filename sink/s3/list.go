package s3

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
	"github.com/otelcoredumpy/otelcoredumpy/sink"
	"github.com/otelcoredumpy/otelcoredumpy/sink/internal/calendar"
)

// Trace returns the dumps of a trace, see [sink.Sink], with one listing.
func (s *Sink) Trace(ctx context.Context, trace dump.TraceID) ([]sink.Entry, error) {
	var entries []sink.Entry
	for obj, err := range s.objects(ctx, sink.TracePrefix(trace), "") {
		if err != nil {
			return nil, fmt.Errorf("looking for trace %s in %s: %w", trace, s, err)
		}
		id, err := sink.ParseTraceKey(obj.key)
		if err != nil {
			continue // foreign
		}
		e := s.entry(id)
		e.Size = obj.size
		entries = append(entries, e)
	}
	// S3 lists in the order of the keys, which is that of time. Not every
	// store that calls itself S3 does.
	slices.SortFunc(entries, func(a, b sink.Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return entries, nil
}

// List goes through the dumps of a time or a service, see [sink.Sink]. It
// finds the days with listings of "folders", from the newest on, and lists one
// day after the other. S3 lists upwards only, so a day is read as a whole
// before its newest dump is known; a day's identities are held in memory. The
// entries have no sizes.
func (s *Sink) List(ctx context.Context, q sink.Query) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		fail := func(err error) { yield(sink.Entry{}, fmt.Errorf("listing %s: %w", s, err)) }
		children := func(prefix string) ([]string, error) { return s.children(ctx, prefix) }
		for day, err := range calendar.Days(q, children) {
			if err != nil {
				fail(err)
				return
			}
			ids, err := s.markers(ctx, sink.DayPrefix(day), q)
			if err != nil {
				fail(err)
				return
			}
			for _, id := range ids {
				if err := ctx.Err(); err != nil {
					fail(err)
					return
				}
				if !yield(s.entry(id), nil) {
					return
				}
			}
		}
	}
}

// markers returns the dumps of one day that match q, newest first.
func (s *Sink) markers(ctx context.Context, prefix string, q sink.Query) ([]dump.Identity, error) {
	after := ""
	if q.Service != "" {
		prefix += sink.EscapeService(q.Service) + "/"
		if !q.Since.IsZero() {
			// The markers of one service lie in the order of time: begin where
			// they begin to match.
			after = prefix + idsBefore(q)
		}
	}
	var ids []dump.Identity
	service := ""
	for obj, err := range s.objects(ctx, prefix, after) {
		if err != nil {
			return nil, err
		}
		id, err := sink.ParseDayKey(obj.key)
		if err != nil {
			continue // foreign
		}
		if !q.Match(id) {
			if q.Service != "" && !q.Until.IsZero() && !id.ID.Time().Before(q.Until) {
				break // and so would be all that follow
			}
			continue
		}
		if id.Service == service {
			id.Service = service // one string for all of them
		}
		service = id.Service
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b dump.Identity) int { return bytes.Compare(b.ID[:], a.ID[:]) })
	return ids, nil
}

// idsBefore returns a string that sorts after all dump IDs that are older than
// the query wants, and before all others: the first 48 bits of an ID, which are
// its time in milliseconds.
func idsBefore(q sink.Query) string {
	ms := max(q.Since.UnixMilli(), 0)
	return fmt.Sprintf("%08x-%04x", ms>>16, ms&0xffff)
}

func (s *Sink) entry(id dump.Identity) sink.Entry {
	return sink.Entry{Identity: id, Key: sink.TraceKey(id), URI: s.URI(id)}
}

// listed is one object of a listing.
type listed struct {
	key  string // without the Sink's prefix
	size int64
}

// objects lists the objects whose key begins with prefix, page by page, in the
// order of their keys, from the first behind the key after on.
func (s *Sink) objects(ctx context.Context, prefix, after string) iter.Seq2[listed, error] {
	return func(yield func(listed, error) bool) {
		input := &s3.ListObjectsV2Input{Prefix: s.key(prefix)}
		if after != "" {
			input.StartAfter = s.key(after)
		}
		for page, err := range s.pages(ctx, input) {
			if err != nil {
				yield(listed{}, err)
				return
			}
			for _, obj := range page.Contents {
				key, ok := s.cutKey(page, obj.Key)
				if ok && !yield(listed{key, aws.ToInt64(obj.Size)}, nil) {
					return
				}
			}
		}
	}
}

// children returns the names of the "folders" directly below prefix.
func (s *Sink) children(ctx context.Context, prefix string) ([]string, error) {
	input := &s3.ListObjectsV2Input{Prefix: s.key(prefix), Delimiter: aws.String("/")}
	var names []string
	for page, err := range s.pages(ctx, input) {
		if err != nil {
			return nil, err
		}
		for _, p := range page.CommonPrefixes {
			key, ok := s.cutKey(page, p.Prefix)
			if !ok {
				continue
			}
			if name, ok := strings.CutPrefix(key, prefix); ok {
				names = append(names, strings.TrimSuffix(name, "/"))
			}
		}
	}
	return names, nil
}

// pages makes the requests of one listing, as they are asked for.
func (s *Sink) pages(ctx context.Context, input *s3.ListObjectsV2Input) iter.Seq2[*s3.ListObjectsV2Output, error] {
	return func(yield func(*s3.ListObjectsV2Output, error) bool) {
		input.Bucket = s.bucket()
		// Keys may hold characters that XML has no way to write. One such
		// foreign key would make the whole listing unreadable.
		input.EncodingType = types.EncodingTypeUrl
		pages := s3.NewListObjectsV2Paginator(s.client, input)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(nil, s.explain(ctx, err, mayList))
				return
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// cutKey returns a key of a listing without the Sink's prefix.
func (s *Sink) cutKey(page *s3.ListObjectsV2Output, raw *string) (string, bool) {
	key := aws.ToString(raw)
	if page.EncodingType == types.EncodingTypeUrl {
		decoded, err := url.QueryUnescape(key)
		if err != nil {
			return "", false
		}
		key = decoded
	}
	return strings.CutPrefix(key, s.prefix)
}
