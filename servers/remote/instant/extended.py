"""Documents of MongoDB as JSON and back: Extended JSON v2 in its relaxed form, of the kinds that data is made of.

(https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/) A document has one form here: names in order,
whole numbers without a fraction whatever their kind is (the old shell stores each number as a float). So an answer can
be compared with what a person has written.
"""

import base64
import binascii
import calendar
import json
import struct
import time
from decimal import Decimal
from typing import Any, Callable, Dict

from ..probes import bson

_EXACT = 1 << 53
_DEPTH_LIMIT = 60
_EXPONENT_BIAS = 6176


def line(document: Any) -> str:
    """In one line, in the one form."""
    return json.dumps(_plain(document), ensure_ascii=False, sort_keys=True)


def command(text: str) -> Dict[str, Any]:
    """A person's command, ready to be encoded. Raises ValueError."""
    try:
        read = json.loads(text)
        if not isinstance(read, dict) or not read or next(iter(read)).startswith("$"):
            raise ValueError("it is not a document of JSON")
        command: Dict[str, Any] = _typed(read, 0)
        return command
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def canonical(text: str) -> str:
    """A person's document in the form in which an answer comes. Raises ValueError."""
    return line(bson.decode(bson.encode(command(text)), KINDS))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return {"$numberDouble": {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")}
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    return value


def _typed(value: Any, depth: int) -> Any:
    if depth > _DEPTH_LIMIT:
        raise ValueError("it is nested too deep")
    if isinstance(value, list):
        return [_typed(one, depth + 1) for one in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("{} is too large".format(value))
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        name, inner = next(iter(value.items()))
        if name in _TO_BSON:
            try:
                return _TO_BSON[name](inner)
            except (TypeError, ValueError, KeyError, AttributeError, struct.error, binascii.Error, OverflowError):
                raise ValueError("{} cannot be {!r}".format(name, inner)) from None
    if any("\0" in name for name in value):
        raise ValueError("a name cannot hold NUL")
    return {name: _typed(one, depth + 1) for name, one in value.items()}


def _id(text: str) -> bson.Raw:
    data = bytes.fromhex(text)
    if len(data) != 12:
        raise ValueError(text)
    return bson.Raw(b"\x07", data)


def _date(said: Any) -> bson.Raw:
    """2026-01-31T12:00:00Z, with milliseconds or without, or how many of these since 1970."""
    if isinstance(said, dict):
        return bson.Raw(b"\x09", struct.pack("<q", int(said["$numberLong"])))
    if isinstance(said, int):
        return bson.Raw(b"\x09", struct.pack("<q", said))
    whole, _, part = said.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return bson.Raw(b"\x09", struct.pack("<q", seconds * 1000 + int((part + "000")[:3])))


_TO_BSON: Dict[str, Callable[[Any], Any]] = {
    "$oid": _id,
    "$date": _date,
    "$numberLong": lambda said: bson.Raw(b"\x12", struct.pack("<q", int(said))),
    "$numberInt": lambda said: bson.Raw(b"\x10", struct.pack("<i", int(said))),
    "$numberDouble": float,
}


def _date_of(reader: bson.Reader) -> Any:
    milliseconds = reader.number("<q")
    seconds, rest = divmod(milliseconds, 1000)
    if not 0 <= seconds < 253402300800:  # the years that have four figures
        return {"$date": {"$numberLong": str(milliseconds)}}
    part = ".{:03d}".format(rest) if rest else ""
    return {"$date": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + part + "Z"}


def _binary_of(reader: bson.Reader) -> Any:
    size = reader.number("<i")
    kind = reader.take(1)
    data = base64.b64encode(reader.take(size)).decode("ascii")
    return {"$binary": {"base64": data, "subType": "{:02x}".format(kind[0])}}


def _decimal_of(reader: bson.Reader) -> Any:
    """IEEE 754 decimal128 in its binary form."""
    low, high = reader.number("<Q"), reader.number("<Q")
    sign = high >> 63
    if (high >> 58) & 0x1F == 0x1F:
        return {"$numberDecimal": "NaN"}
    if (high >> 58) & 0x1F == 0x1E:
        return {"$numberDecimal": "-Infinity" if sign else "Infinity"}
    exponent = (high >> 49) & 0x3FFF
    number = ((high & ((1 << 49) - 1)) << 64) | low
    if (high >> 61) & 3 == 3:  # a form that has no valid number: it stands for nothing
        exponent, number = (high >> 47) & 0x3FFF, 0
    digits = tuple(int(figure) for figure in str(number))
    return {"$numberDecimal": str(Decimal((sign, digits, exponent - _EXPONENT_BIAS)))}


def _time_stamp_of(reader: bson.Reader) -> Any:
    increment, seconds = reader.number("<I"), reader.number("<I")
    return {"$timestamp": {"t": seconds, "i": increment}}


# What comes out of an answer otherwise than `bson` reads it.
KINDS: bson.Kinds = {
    0x05: _binary_of,
    0x07: lambda reader: {"$oid": reader.take(12).hex()},
    0x09: _date_of,
    0x0B: lambda reader: {"$regularExpression": {"pattern": reader.name(), "options": reader.name()}},
    0x11: _time_stamp_of,
    0x13: _decimal_of,
    0x7F: lambda reader: {"$maxKey": 1},
    0xFF: lambda reader: {"$minKey": 1},
}
