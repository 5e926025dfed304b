"""Mutations of bytes and of JSON values: what an adversary, a broken disk or another program makes of honest input."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, Final

HUGE: Final = 10**400
STRANGE: Final[tuple[Any, ...]] = (
    None, True, False, -1, 0, 1.5, 2**31, 2**63, -(2**63) - 1, 2**64, 10**30, HUGE, 1e308, float("nan"), float("inf"),
    "", " ", "x", "boom", "null", "\x00", "\x1b[31m", "é\u202e", "\ud800", "x" * 5000, "9" * 400, "/", "|", "#", "a/b/c",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10.0.0.0/33", "0.0.0.0/0", "::ffff:1.2.3.4", "1.2.3",
    "team in (", "a in (b),", [], [None], [[]], [1], ["x"], [{}], {}, {"": None}, {"x": None}, {"a": {"b": []}},
)  # fmt: skip
"""Values that decoders met where they did not expect them."""
_PIECES: Final = (
    b"null", b"[]", b"{}", b"-", b"9" * 30, b"1e999", b"NaN", b"\\u0000", b"\\ud800", b"\xff", b"\xef\xbb\xbf", b"{", b"[", b'"', b"\t",
    b"*x", b"&x ", b"<<: ", b"!!set ", b"!!python/object:os.system ", b"? ", b"%", b"|", b"---\n", b"9" * 5000, b"[" * 2000,
)  # fmt: skip
MAX_BYTES: Final = 64 * 1024
"""No mutant is longer: the bound on size is tested elsewhere, and long input only slows the rest."""
Path = tuple[Any, ...]


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """One mutant of the bytes: of the JSON value in them, where they hold one, as often as of the bytes."""
    if chance.random() < 0.5:
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            pass
        else:
            return json.dumps(mutated_value(value, chance)).encode("utf-8", "replace")[:MAX_BYTES]
    return mutated_bytes(raw, chance)


def mutated_bytes(raw: bytes, chance: random.Random) -> bytes:
    """Some bytes flipped, replaced, inserted, removed or repeated; never empty."""
    data = bytearray(raw)
    for _ in range(chance.randint(1, 8)):
        data = data or bytearray(b"x")
        at = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.randrange(256)
            case 2:
                data[at:at] = chance.choice(_PIECES)
            case 3:
                del data[at : at + chance.randint(1, 20)]
            case 4:
                data[at:at] = data[: chance.randrange(60)]
            case _:
                data[at:] = data[at : at + 40] * 2
        del data[MAX_BYTES:]
    return bytes(data or b"x")


def mutated_value(value: Any, chance: random.Random) -> Any:
    """One to four places of a JSON value removed, wrapped, repeated or replaced by a strange value."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 4)):
        here = value
        while isinstance(here, dict | list) and here:
            key = chance.choice(list(here) if isinstance(here, dict) else range(len(here)))
            if isinstance(here[key], dict | list) and here[key] and chance.random() < 0.75:
                here = here[key]
                continue
            _change(here, key, chance)
            break
        else:
            return copy.deepcopy(chance.choice(STRANGE))
    return value


def _change(here: Any, key: Any, chance: random.Random) -> None:
    match chance.randrange(6):
        case 0:
            del here[key]
        case 1:
            here[key] = [here[key]]
        case 2 if isinstance(here, list):
            here.append(copy.deepcopy(here[key]))
        case 3 if isinstance(here, dict):
            here[chance.choice(list(here))] = here[key]  # the value of another field
        case _:
            here[key] = copy.deepcopy(chance.choice(STRANGE))


def every_strange_value(value: Any) -> Iterator[Any]:
    """The JSON value with each strange value in each place, one at a time."""
    for path in places(value):
        for strange in STRANGE:
            yield replaced(value, path, strange)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value inside."""
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield from places(child, (*path, name))


def replaced(value: Any, path: Path, new: Any) -> Any:
    """The JSON value with ``new`` at the path; the original stays as it is."""
    head, *rest = path
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[head] = replaced(changed[head], tuple(rest), new) if rest else new
    return changed
