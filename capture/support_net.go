package capture

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/otelcoredumpy/otelcoredumpy/dump"
)

var netSupports = []builtinType{
	{"net/netip.Addr", TypeSupport{Near: []string{"z"}, Describe: func(v View, d *Description) {
		if a, ok := addrOf(v); ok {
			d.Summary(a.String())
		}
	}}},
	{"net/netip.AddrPort", TypeSupport{Describe: func(v View, d *Description) {
		a, ok1 := addrOf(v.Field("ip"))
		port, ok2 := v.Field("port").Uint()
		if ok1 && ok2 {
			d.Summary(netip.AddrPortFrom(a, uint16(port)).String())
		}
	}}},
	{"net/netip.Prefix", TypeSupport{Describe: func(v View, d *Description) {
		a, ok1 := addrOf(v.Field("ip"))
		bits, ok2 := v.Field("bitsPlusOne").Uint()
		switch {
		case !ok1 || !ok2:
		case bits == 0:
			d.Summary(netip.Prefix{}.String())
		default:
			d.Summary(netip.PrefixFrom(a, int(bits)-1).String())
		}
	}}},
	{"unique.Handle[*]", TypeSupport{Near: []string{"value"}}},
	{"net.IP", TypeSupport{Describe: func(v View, d *Description) {
		if s, ok := ipText(v); ok {
			d.Summary(s)
		}
	}}},
	{"net.IPMask", TypeSupport{Describe: func(v View, d *Description) {
		if b, whole := v.Bytes(); whole && len(b) <= 16 {
			d.Summary(pick(len(b) == 0, "<nil>", hex.EncodeToString(b)))
		}
	}}},
	{"net.IPNet", TypeSupport{Near: []string{"IP", "Mask"}, Describe: func(v View, d *Description) {
		ip, ok := ipText(v.Field("IP"))
		mask, whole := v.Field("Mask").Bytes()
		if ok && whole && len(mask) > 0 && len(mask) <= 16 {
			d.Summary(ip + "/" + maskText(mask))
		}
	}}},
	{"net.TCPAddr", TypeSupport{Near: []string{"IP"}, Describe: describeHostPort}},
	{"net.UDPAddr", TypeSupport{Near: []string{"IP"}, Describe: describeHostPort}},
	{"net/url.URL", TypeSupport{Near: []string{"User"}, Describe: func(v View, d *Description) {
		if s, ok := urlText(v); ok {
			d.Summary(s)
		}
	}}},
	{"*.UUID", TypeSupport{Describe: func(v View, d *Description) {
		b, whole := v.Bytes()
		if v.Kind() != dump.Array || !whole || len(b) != 16 {
			return
		}
		h := hex.EncodeToString(b)
		d.Summary(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
	}}},
}

// addrOf reads a netip.Addr (net/netip/netip.go): 128 bits, and a handle that leads to nothing (no address), or to what says
// whether it is an IPv6 address, and of which zone.
func addrOf(v View) (netip.Addr, bool) {
	hi, ok1 := v.Path("addr", "hi").Uint()
	lo, ok2 := v.Path("addr", "lo").Uint()
	z := v.Path("z", "value")
	if !ok1 || !ok2 || z.Kind() != dump.Pointer || z.Missing() != "" {
		return netip.Addr{}, false
	}
	if z.IsNil() {
		return netip.Addr{}, true
	}
	is6, ok := z.Path("isV6").Bool()
	zone, whole, ok2 := z.Path("zoneV6").Text()
	if !ok || !ok2 || !whole {
		return netip.Addr{}, false
	}
	if !is6 {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(lo)))), true
	}
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, hi), lo)
	return netip.AddrFrom16([16]byte(b)).WithZone(zone), true
}

// ipText is what net.IP's String has.
func ipText(v View) (string, bool) {
	if v.Kind() != dump.Slice {
		return "", false
	}
	b, whole := v.Bytes()
	if v.IsNil() || whole && len(b) == 0 {
		return "<nil>", true
	}
	if !whole {
		return "", false
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return "?" + hex.EncodeToString(b[:min(len(b), 32)]), true
	}
	return a.Unmap().String(), true
}

// maskText is the number of leading ones, or the mask itself if that is not all.
func maskText(mask []byte) string {
	ones, i := 0, 0
	for ; i < len(mask) && mask[i] == 0xff; i++ {
		ones += 8
	}
	if i < len(mask) {
		c := mask[i]
		for ; c&0x80 != 0; c <<= 1 {
			ones++
		}
		if c != 0 {
			return hex.EncodeToString(mask)
		}
		for i++; i < len(mask); i++ {
			if mask[i] != 0 {
				return hex.EncodeToString(mask)
			}
		}
	}
	return strconv.Itoa(ones)
}

func describeHostPort(v View, d *Description) {
	ip, ok1 := ipText(v.Field("IP"))
	port, ok2 := v.Field("Port").Int()
	zone, _, ok3 := v.Field("Zone").Text()
	if !ok1 || !ok2 || !ok3 {
		return
	}
	if ip == "<nil>" {
		ip = ""
	}
	if zone != "" {
		ip += "%" + zone
	}
	// Only an IPv6 address has colons.
	for i := range len(ip) {
		if ip[i] == ':' {
			ip = "[" + ip + "]"
			break
		}
	}
	d.Summary(ip + ":" + strconv.FormatInt(port, 10))
}

// urlText is what url.URL's Redacted has: a password is never shown.
func urlText(v View) (string, bool) {
	var u url.URL
	for _, f := range []struct {
		name string
		to   *string
	}{
		{"Scheme", &u.Scheme},
		{"Opaque", &u.Opaque},
		{"Host", &u.Host},
		{"Path", &u.Path},
		{"RawPath", &u.RawPath},
		{"RawQuery", &u.RawQuery},
		{"Fragment", &u.Fragment},
		{"RawFragment", &u.RawFragment},
	} {
		s, _, ok := v.Field(f.name).Text()
		if !ok {
			return "", false
		}
		*f.to = s
	}
	u.ForceQuery, _ = v.Field("ForceQuery").Bool()
	u.OmitHost, _ = v.Field("OmitHost").Bool()
	if user := v.Field("User"); !user.IsNil() {
		name, _, ok := user.Path("username").Text()
		set, ok2 := user.Path("passwordSet").Bool()
		switch {
		case !ok || !ok2:
			return "", false
		case set:
			u.User = url.UserPassword(name, "xxxxx")
		default:
			u.User = url.User(name)
		}
	}
	return u.String(), true
}
