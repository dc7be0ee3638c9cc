#!/usr/bin/env python3
"""A small reader of .cdmp files, made from docs/format.md and dump.proto alone.

It reads a file as a whole, and neither salvages one whose beginning is damaged
nor opens a sealed one. It prints a dump as JSON: bytes in hexadecimal, fields by their names in
dump.proto without those that have their default values, records with their
numbers as "id". It is here to show that the specification is enough to write a
reader, and to say so when it is not: the tests of package dump compare what it
prints with what that package reads.

    reader.py [--zstd COMMAND] FILE

Only the standard library is used. COMMAND decompresses zstd from its standard
input to its standard output; without it, Python's own module (3.14 and later) is
used, or the program zstd.
"""

import json
import shlex
import struct
import subprocess
import sys

MAGIC = b"\x89CDMP\r\n\x1a"
MARKER = b"\x91\xab\xd3\xc5"
PRELUDE_MAX = 65536
SECTION_MAX = 268435456
RECORDS_MAX = 1048576
ELEMENTS_MAX = 1048576
NESTING_MAX = 64

ZSTD, IN_PLACE = 1 << 0, 1 << 2
TYPES, FAILING, OBJECTS, GOROUTINES, SOURCES, EXTRA, PACKAGE_VARS, END = 1, 2, 3, 4, 5, 6, 8, 255


class Damaged(Exception):
    pass


# ------------------------------------------------------------------ CRC-32C


def _crc_table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        yield n


CRC_TABLE = list(_crc_table())


def crc32c(*parts):
    crc = 0xFFFFFFFF
    for part in parts:
        for byte in part:
            crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283

# ----------------------------------------------------------------- protobuf

# Of each message: number -> (name, what it is). A list is a repeated field. Kinds:
# uint, int (two's complement of 64 bits), bool, fixed64, fixed32, bytes, string, or
# the name of a message.
MESSAGES = {
    "Prelude": {1: ("header", "Header"), 2: ("sections", ["SectionInfo"])},
    "SectionInfo": {
        1: ("kind", "uint"), 2: ("offset", "uint"), 3: ("stored_length", "uint"), 4: ("raw_length", "uint"),
        5: ("first_id", "uint"), 6: ("count", "uint"),
    },
    "Timestamp": {1: ("seconds", "int"), 2: ("nanos", "int")},
    "Header": {
        1: ("id", "bytes"), 2: ("trace_id", "bytes"), 3: ("span_id", "bytes"), 4: ("service", "string"), 5: ("time", "Timestamp"),
        6: ("trigger", "string"), 7: ("name", "string"), 8: ("description", "string"), 9: ("reason", ["ErrorInfo"]),
        10: ("span_name", "string"), 11: ("resource", ["KeyValue"]), 12: ("host", "string"), 13: ("pid", "int"),
        14: ("go_version", "string"), 15: ("goos", "string"), 16: ("goarch", "string"), 17: ("module", "Module"), 18: ("vcs", "VCS"),
        19: ("failing", "Location"), 20: ("counts", "Counts"), 21: ("budgets", ["Budget"]), 22: ("redactions", ["RuleCount"]),
        23: ("missing", ["Missing"]),
    },
    "ErrorInfo": {1: ("type", "string"), 2: ("message", "string"), 3: ("parent", "uint"), 4: ("panic", "bool"), 5: ("runtime", "bool")},
    "KeyValue": {1: ("key", "string"), 2: ("value", "string")},
    "Module": {1: ("path", "string"), 2: ("version", "string")},
    "VCS": {1: ("revision", "string"), 2: ("time", "string"), 3: ("modified", "bool")},
    "Location": {1: ("func", "string"), 2: ("file", "string"), 3: ("line", "int"), 4: ("goroutine", "int"), 5: ("frame", "int")},
    "Counts": {1: ("goroutines", "int"), 2: ("frames", "int"), 3: ("variables", "int"), 4: ("objects", "int"), 5: ("bytes", "int")},
    "Budget": {1: ("name", "string"), 2: ("unit", "string"), 3: ("limit", "int"), 4: ("spent", "int"), 5: ("hits", "int")},
    "RuleCount": {1: ("rule", "string"), 2: ("count", "int")},
    "Missing": {1: ("what", "string"), 2: ("why", "string"), 3: ("hint", "string")},
    "End": {1: ("file_size", "fixed64"), 2: ("sections", "uint"), 3: ("prelude_crc", "fixed32")},
    "Type": {
        1: ("name", "string"), 2: ("kind", "uint"), 3: ("size", "uint"), 4: ("elem", "uint"), 5: ("key", "uint"), 6: ("len", "int"),
        7: ("fields", ["Field"]), 8: ("named", "bool"),
    },
    "Field": {1: ("name", "string"), 2: ("type", "uint"), 3: ("offset", "uint"), 4: ("embedded", "bool"), 5: ("tag", "string")},
    "Object": {1: ("value", "Value"), 2: ("addr", "uint"), 3: ("late", "bool"), 4: ("in_place", "bool")},
    "Value": {
        1: ("type", "uint"), 2: ("num", "uint"), 3: ("num", "fixed64"), 4: ("num2", "fixed64"), 5: ("ptr", "uint"), 6: ("len", "int"),
        7: ("cap", "int"), 8: ("bytes", "bytes"), 9: ("raw", "bytes"), 10: ("obj", "uint"), 11: ("elems", ["Value"]), 12: ("addr", "uint"),
        13: ("reason", "uint"), 14: ("detail", "string"), 15: ("func", "string"), 16: ("summary", "string"), 17: ("elem_count", "uint"),
        18: ("children", ["Child"]),
    },
    "Child": {1: ("name", "string"), 2: ("value", "Value")},
    "Goroutine": {
        1: ("id", "int"), 2: ("parent_id", "int"), 3: ("status", "string"), 4: ("wait_reason", "string"), 5: ("wait_since", "int"),
        6: ("failing", "bool"), 7: ("created_by", "Location"), 8: ("labels", ["KeyValue"]), 9: ("frames", ["Frame"]),
        10: ("values", ["Variable"]), 11: ("missing", ["Missing"]), 12: ("waits", ["Wait"]), 13: ("trace_id", "bytes"), 14: ("span_id", "bytes"),
        15: ("system", "bool"), 16: ("locked", "bool"), 17: ("others", ["GoroutineGroup"]),
    },
    "Wait": {
        1: ("op", "string"), 2: ("addr", "uint"), 3: ("type", "string"), 4: ("len", "int"), 5: ("cap", "int"), 6: ("closed", "bool"),
        7: ("fd", "int"), 8: ("left", "int"),
    },
    "GoroutineGroup": {
        1: ("count", "int"), 2: ("id", "int"), 3: ("status", "string"), 4: ("wait_reason", "string"), 5: ("at", "Location"),
        6: ("created_by", "Location"), 7: ("longest", "int"),
    },
    "Frame": {
        1: ("func", "string"), 2: ("file", "string"), 3: ("line", "int"), 4: ("pc", "uint"), 5: ("cfa", "uint"), 6: ("func_line", "int"),
        7: ("inlined", "bool"), 8: ("user", "bool"), 9: ("vars", ["Variable"]), 10: ("missing", ["Missing"]),
    },
    "Variable": {
        1: ("name", "string"), 2: ("kind", "uint"), 3: ("state", "uint"), 4: ("decl_line", "int"), 5: ("escaped", "bool"), 6: ("value", "Value"),
    },
    "PackageVar": {1: ("package", "string"), 2: ("name", "string"), 3: ("state", "uint"), 4: ("late", "bool"), 5: ("value", "Value")},
    "Source": {1: ("file", "string"), 2: ("blocks", ["SourceBlock"])},
    "SourceBlock": {1: ("first", "int"), 2: ("lines", ["string"])},
    "Extra": {
        1: ("span_kind", "string"), 2: ("span_start", "Timestamp"), 3: ("span_end", "Timestamp"), 4: ("span_status", "string"),
        5: ("span_message", "string"), 6: ("span_attributes", ["KeyValue"]), 7: ("span_events", ["SpanEvent"]), 8: ("parent_span_id", "bytes"),
        9: ("scope", "string"), 10: ("command_line", ["string"]), 11: ("executable", "string"), 12: ("build_id", "string"),
        13: ("start_time", "Timestamp"), 14: ("modules", ["Module"]), 15: ("settings", ["KeyValue"]),
    },
    "SpanEvent": {1: ("name", "string"), 2: ("time", "Timestamp"), 3: ("attributes", ["KeyValue"])},
}

WIRE = {"uint": 0, "int": 0, "bool": 0, "fixed64": 1, "fixed32": 5}  # all others: 2


def varint(b, at):
    n = shift = 0
    while True:
        if at >= len(b) or shift > 63:
            raise Damaged("a number has no end")
        n |= (b[at] & 0x7F) << shift
        at += 1
        if b[at - 1] < 0x80:
            return n & 0xFFFFFFFFFFFFFFFF, at
        shift += 7


def fields(b):
    """Yields number, wire type and content of the fields of a message."""
    at = 0
    while at < len(b):
        tag, at = varint(b, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise Damaged("a field has number 0")
        if wire == 0:
            v, at = varint(b, at)
        elif wire == 1 or wire == 5:
            size = 8 if wire == 1 else 4
            v = int.from_bytes(b[at:at + size], "little")
            at += size
        elif wire == 2:
            size, at = varint(b, at)
            v = b[at:at + size]
            at += size
        else:
            raise Damaged("a field has wire type %d" % wire)
        if at > len(b):
            raise Damaged("a field goes beyond the end of its message")
        yield number, wire, v


class Record:
    """Counts what the limits bound in one record."""

    def __init__(self):
        self.elements = 0

    def message(self, name, b, values=0):
        if values > NESTING_MAX:
            raise Damaged("values are nested too deep")
        schema, out, behind = MESSAGES[name], {}, None
        for number, wire, v in fields(b):
            known = schema.get(number)
            if known is None:
                continue
            if behind and number != 11:
                raise Damaged("something is behind the elements of a value that gives their number")
            field, kind = known
            many = isinstance(kind, list)
            kind = kind[0] if many else kind
            if wire != WIRE.get(kind, 2):
                continue
            if kind == "int":
                v = v - (1 << 64) if v >> 63 else v
            elif kind == "bool":
                v = v != 0
            elif kind == "string":
                v = v.decode("utf-8", "replace")
            elif kind == "bytes":
                v = v.hex()
            elif kind in MESSAGES:
                v = self.message(kind, v, values + 1 if kind == "Value" else 0)
            if not many:
                out[field] = v
                continue
            self.elements += 1
            if self.elements > ELEMENTS_MAX:
                raise Damaged("too many elements")
            out.setdefault(field, []).append(v)
            behind = name == "Value" and "elem_count" in out
        if name == "Value" and "elem_count" in out:
            if out.pop("elem_count") != len(out.get("elems", [])):
                raise Damaged("a value has another number of elements than it says")
        if name == "Timestamp":
            return {"seconds": out.get("seconds", 0), "nanos": out.get("nanos", 0)}  # a time at 0 is a time
        if name == "Object" and out.pop("in_place", False):
            value = out.setdefault("value", {})
            if not value.get("addr"):
                value["addr"] = out.get("addr", 0)
        return {k: v for k, v in out.items() if v}  # the defaults are 0, false and nothing


# --------------------------------------------------------------------- zstd


def decompress(command, b):
    if command is None:
        try:
            from compression import zstd
            return zstd.decompress(b)
        except ImportError:
            command = "zstd -dcq"
    done = subprocess.run(shlex.split(command), input=b, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Damaged("zstd: " + done.stderr.decode("utf-8", "replace").strip())
    return done.stdout


# --------------------------------------------------------------------- file


class Reader:
    def __init__(self, data, zstd):
        self.data, self.zstd, self.problems = data, zstd, []
        if data[:8] != MAGIC:
            raise SystemExit("not a dump file")
        if len(data) < 20:
            raise SystemExit("truncated in the start")
        self.major, self.minor, length, crc = struct.unpack("<HHII", data[8:20])
        prelude = data[20:20 + length]
        if self.major != 1:
            raise SystemExit("version %d.%d is not known" % (self.major, self.minor))
        if 20 + length > PRELUDE_MAX:
            raise SystemExit("the prelude is too long")
        if len(prelude) < length:
            raise SystemExit("truncated in the prelude")
        if crc32c(data[:16], prelude) != crc:
            raise SystemExit("the prelude is damaged")
        self.crc = crc
        prelude = Record().message("Prelude", prelude)
        self.header = prelude.get("header", {})
        self.sections = prelude.get("sections", [])

    def section(self, info):
        """Returns the records of a section, None if it is of an unknown kind."""
        kind, at, stored = info.get("kind", 0), info.get("offset", 0), info.get("stored_length", 0)
        raw, first, count = info.get("raw_length", 0), info.get("first_id", 0), info.get("count", 0)
        if raw > SECTION_MAX or stored > SECTION_MAX:
            raise Damaged("too long")
        if at + 36 + stored > len(self.data):
            raise Damaged("truncated")
        head = self.data[at:at + 36]
        payload = self.data[at + 36:at + 36 + stored]
        if head[:4] != MARKER or crc32c(head[:32]) != struct.unpack("<I", head[32:])[0]:
            raise Damaged("the frame header is damaged")
        fkind, flags, ffirst, fcount, fraw, fstored, crc = struct.unpack("<HHQIIII", head[4:32])
        if (fkind, ffirst, fcount, fraw, fstored) != (kind, first, count, raw, stored):
            raise Damaged("the frame header is not that of the directory")
        if crc32c(payload) != crc:
            raise Damaged("the payload is damaged")
        if kind not in (TYPES, FAILING, OBJECTS, GOROUTINES, SOURCES, EXTRA, PACKAGE_VARS, END):
            return None
        if count > RECORDS_MAX:
            raise Damaged("too many records")
        if flags & ~(ZSTD | IN_PLACE if kind == OBJECTS else ZSTD):
            raise Damaged("unknown flags")
        if flags & ZSTD:
            payload = decompress(self.zstd, payload)
        if len(payload) != raw:
            raise Damaged("another length than declared")
        records = [v for number, wire, v in fields(payload) if (number, wire) == (1, 2)]
        if len(records) != count:
            raise Damaged("%d records where %d are declared" % (len(records), count))
        return records

    def read(self):
        out = {"version": "%d.%d" % (self.major, self.minor), "header": self.header}
        places = {
            TYPES: ("types", "Type"), FAILING: ("failing", "Goroutine"), OBJECTS: ("objects", "Object"),
            GOROUTINES: ("goroutines", "Goroutine"), SOURCES: ("sources", "Source"), EXTRA: ("extra", "Extra"), END: ("end", "End"),
            PACKAGE_VARS: ("package_vars", "PackageVar"),
        }
        last = None
        for i, info in enumerate(self.sections):
            try:
                records = self.section(info)
                last = info.get("kind", 0)
                if records is None:
                    continue
                name, message = places[last]
                for k, b in enumerate(records):
                    record = Record().message(message, b)
                    if last in (TYPES, OBJECTS):
                        record["id"] = info["first_id"] + k
                    out.setdefault(name, []).append(record)
            except Damaged as e:
                self.problems.append("section %d: %s" % (i, e))
        if last != END:
            self.problems.append("there is no end")
        for end in out.pop("end", []):
            if (end.get("file_size"), end.get("sections"), end.get("prelude_crc", 0)) != (len(self.data), len(self.sections), self.crc):
                self.problems.append("the end is not that of this file")
        out["problems"] = self.problems
        return out


def main(args):
    zstd = None
    if len(args) > 1 and args[0] == "--zstd":
        zstd, args = args[1], args[2:]
    if len(args) != 1:
        raise SystemExit("usage: reader.py [--zstd COMMAND] FILE")
    with open(args[0], "rb") as f:
        json.dump(Reader(f.read(), zstd).read(), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
