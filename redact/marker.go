package redact

import "strconv"

// A marker is markerOpen, a rule ID, markerMid, decimal digits, markerClose.
const (
	markerOpen  = "‹redacted:"
	markerMid   = ":len="
	markerClose = "›"
	maxRuleID   = 48 // bytes of a rule ID in a marker
)

// Marker returns what stands in a dump for n redacted bytes:
// "‹redacted:jwt:len=212›". Bytes of rule other than ASCII letters, digits, '-',
// '_' and '.' become '-', and a long one is cut, so that a marker is always
// recognised as one.
func Marker(rule string, n int) string {
	return string(appendMarker(nil, rule, n))
}

func appendMarker(b []byte, rule string, n int) []byte {
	b = append(b, markerOpen...)
	b = append(b, cleanRule(rule)...)
	b = append(b, markerMid...)
	b = strconv.AppendInt(b, int64(max(n, 0)), 10)
	return append(b, markerClose...)
}

// cleanRule makes a rule ID one that a marker can hold.
func cleanRule(rule string) string {
	clean := rule != "" && len(rule) <= maxRuleID
	for i := 0; clean && i < len(rule); i++ {
		clean = isRuleByte(rule[i])
	}
	if clean {
		return rule
	}
	if rule == "" {
		return "custom"
	}
	b := []byte(rule[:min(len(rule), maxRuleID)])
	for i, c := range b {
		if !isRuleByte(c) {
			b[i] = '-'
		}
	}
	return string(b)
}

func isRuleByte(c byte) bool { return isAlnum(c) || c == '-' || c == '_' || c == '.' }

// markerAt returns the end of the marker that begins at s[i], 0 if none does.
func markerAt(s string, i int) int {
	if len(s)-i < len(markerOpen) || s[i:i+len(markerOpen)] != markerOpen {
		return 0
	}
	p := i + len(markerOpen)
	start := p
	for p < len(s) && p-start < maxRuleID && isRuleByte(s[p]) {
		p++
	}
	if p == start || len(s)-p < len(markerMid) || s[p:p+len(markerMid)] != markerMid {
		return 0
	}
	p += len(markerMid)
	start = p
	for p < len(s) && p-start < 19 && isDigit(s[p]) {
		p++
	}
	if p == start || len(s)-p < len(markerClose) || s[p:p+len(markerClose)] != markerClose {
		return 0
	}
	return p + len(markerClose)
}
