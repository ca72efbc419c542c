"""Make personal data unrecognisable, column by column, so that nobody can turn it back.

Keyed policies give the same value the same replacement under the same key, in every dataset,
so that masked tables can still be joined. Without the key no replacement can be computed;
with it, guesses can be tried: whoever holds the key must be trusted with the data.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, replace
from datetime import datetime, time
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.tabular import personal
from tasks.tabular.errors import MaskingError, UnknownColumnError
from tasks.tabular.personal import Policy
from tasks.tabular.pii import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from tasks.tabular.pii import Finding

HASH_DIGITS = 32
"""Hexadecimal digits of a hash: 128 bits, so that two values never share one."""

REDACTED = "[redacted]"
_AGE_BAND, _POSTCODE_PREFIX = 10, 3
_ROUNDS = 10
_PASSES = 5
_KEYED = ("hash", "token")
MIN_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Mask:
    """What is done about one column; `kind` is the personal data it holds, if that is known.

    `inside` masks only what is found within the column's texts and leaves the rest.
    """

    policy: Policy
    kind: str | None = None
    inside: bool = False


def choose(findings: Iterable[Finding], policies: Mapping[str, Policy]) -> dict[str, Mask]:
    """Return what is done about every column: as asked for, else its kind's usual policy."""
    counted = {each.column: each for each in findings if each.confidence >= THRESHOLD}
    masks = {
        column: Mask(policies.get(column) or each.policy, each.kind, inside=each.by == "texts")
        for column, each in counted.items()
    }
    for column, mask in masks.items():  # where it stands in texts, if that can be told
        known = mask.kind is not None and personal.BY_NAME[mask.kind].inside
        masks[column] = replace(mask, inside=mask.inside and known and mask.policy == "redact")
    return masks | {
        column: Mask(policy) for column, policy in policies.items() if column not in counted
    }


def mask_file(
    path: Path, target: Path, masks: Mapping[str, Mask], key: bytes | None
) -> dict[str, int]:
    """Write the Parquet file at `path` to `target` with columns masked.

    Returns the number of missing values in every column that is left.

    Parameters
    ----------
    key : bytes, optional
        Secret of the keyed policies, hash and token.

    Raises
    ------
    UnknownColumnError
        If there is no such column.
    MaskingError
        If a policy does not suit a column, or needs a key and there is none.
    """
    with pq.ParquetFile(path) as file:
        names = tuple(file.schema_arrow.names)
        for column, mask in masks.items():
            if column not in names:
                raise UnknownColumnError(column, names)
            if mask.policy in _KEYED and not key:
                raise MaskingError(
                    column, mask.policy, "there is no key; set MILLRACE_PRIVACY__KEY"
                )
        kept = [name for name in names if name not in masks or masks[name].policy != "drop"]
        if not kept:
            raise MaskingError(names[0], "drop", "no column would be left")
        kinds = [_type(masks.get(name), file.schema_arrow.field(name).type) for name in kept]
        schema = pa.schema(list(zip(kept, kinds, strict=True)))
        missing = dict.fromkeys(kept, 0)
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=kept)
                arrays = [
                    mask_values(table[name], name, masks[name], key).cast(kind)
                    if name in masks
                    else table[name]
                    for name, kind in zip(kept, kinds, strict=True)
                ]
                table = pa.table(arrays, schema=schema)
                for name in kept:
                    missing[name] += table[name].null_count
                writer.write_table(table)
    return missing


def _type(mask: Mask | None, before: pa.DataType) -> pa.DataType:
    if mask is None or (mask.policy == "generalise" and _is_coordinate(mask, before)):
        return before
    return pa.string()


def _is_coordinate(mask: Mask, kind: pa.DataType) -> bool:
    return mask.kind == "location" and pa.types.is_floating(kind)


def mask_values(
    values: pa.ChunkedArray, column: str, mask: Mask, key: bytes | None
) -> pa.ChunkedArray:
    """Mask the values of a column; missing ones stay missing, equal ones stay equal."""
    if mask.policy == "redact" and not mask.inside:
        redacted = pa.scalar(REDACTED if mask.kind is None else f"[{mask.kind}]")
        return pc.if_else(pc.is_valid(values), redacted, pa.scalar(None, pa.string()))
    if mask.policy == "generalise" and _is_coordinate(mask, values.type):
        return pc.round(values, 1)  # 11 km
    if values.null_count == len(values):
        return pa.chunked_array([pa.nulls(len(values), pa.string())])
    written_as = _replacement(column, mask, key, values.type)
    encoded = values.combine_chunks().dictionary_encode()
    replaced = pa.array(
        [written_as(_written(each)) for each in encoded.dictionary.to_pylist()], pa.string()
    )
    return pa.chunked_array([replaced.take(encoded.indices)])


def _written(value: Any) -> str:
    """Return a value as text, the same for the same value of whatever type.

    Examples
    --------
    >>> _written(7), _written(7.0), _written("7"), _written(7.5)
    ('7', '7', '7', '7.5')
    """
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime) and value.time() == time.min and value.tzinfo is None:
        value = value.date()
    return value if isinstance(value, str) else str(value)


def _replacement(
    column: str, mask: Mask, key: bytes | None, kind: pa.DataType
) -> Callable[[str], str]:
    if mask.inside:
        return _redact_inside
    if mask.policy == "hash":
        secret = key or b""
        return lambda text: hmac.digest(secret, text.encode(), "sha256").hex()[:HASH_DIGITS]
    if mask.policy == "token":
        secret = key or b""
        return lambda text: format_preserving(text, secret)
    if mask.policy == "generalise":
        return _generalise(column, mask, kind)
    raise MaskingError(column, mask.policy, "it is a policy for whole columns")


_LONG_NUMBER = re.compile(r"(?:\d[ ./()-]{0,2}){8,}\d")
"""What is redacted beside the findings: a number that could be somebody's, written anyhow."""


def _redact_inside(text: str) -> str:
    """Replace all personal data that is found within a text by its kind.

    What is left is looked at again: a number beside another is found only without it.
    """
    for _ in range(_PASSES):
        found = personal.spans_inside(text)
        if not found:
            break
        for start, end, kind in reversed(found):
            text = f"{text[:start]}[{kind}]{text[end:]}"
    return _LONG_NUMBER.sub("[number]", text)


def format_preserving(text: str, key: bytes) -> str:
    """Return a token like `text`: digits for digits, letters for letters, the rest as it was.

    Different texts of one shape get different tokens: a Feistel network of ten rounds, as in
    the standard's FF1 [1]_, with HMAC-SHA-256 as the round function and a radix per place.
    It is one-way here, since nobody needs it back. Texts of one or two places have few tokens.
    Letters and digits of other alphabets have no such tokens: a text with one is hashed.

    References
    ----------
    .. [1] NIST SP 800-38G (2016), "Recommendation for Block Cipher Modes of Operation:
       Methods for Format-Preserving Encryption".

    Examples
    --------
    >>> token = format_preserving("123-45-6789", b"a key of sixteen")
    >>> len(token), token[3], token[6], token == "123-45-6789"
    (11, '-', '-', False)
    """
    if any(each.isalnum() and not each.isascii() for each in text):
        return hmac.digest(key, text.encode(), "sha256").hex()[:HASH_DIGITS]
    places = [(place, *_alphabet(each)) for place, each in enumerate(text) if _alphabet(each)[1]]
    digits = [ord(text[place]) - first for place, first, _ in places]
    radices = [size for _, _, size in places]
    shape = re.sub(r"[0-9]", "0", re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", text))).encode()
    half = (len(digits) + 1) // 2
    sides = [slice(0, half), slice(half, None)]
    for turn in range(_ROUNDS):
        own, other = sides[turn % 2], sides[1 - turn % 2]
        message = b"%d|%s|%s" % (turn, shape, repr(digits[other]).encode())
        draw = int.from_bytes(hmac.digest(key, message, "sha256"))
        digits[own] = _add(digits[own], draw, radices[own])
    letters = list(text)
    for (place, first, _), digit in zip(places, digits, strict=True):
        letters[place] = chr(first + digit)
    return "".join(letters)


def _alphabet(letter: str) -> tuple[int, int]:
    """Return the first character of a letter's alphabet and its size; 0 for what is kept."""
    for first, last in (("0", "9"), ("a", "z"), ("A", "Z")):
        if first <= letter <= last:
            return ord(first), ord(last) - ord(first) + 1
    return 0, 0


def _add(digits: list[int], number: int, radices: list[int]) -> list[int]:
    """Add a number to one of mixed radix and drop what its first place cannot hold."""
    total = []
    for digit, radix in zip(reversed(digits), reversed(radices), strict=True):
        number, own = divmod(number + digit, radix)
        total.append(own)
    return total[::-1]


def _generalise(column: str, mask: Mask, kind: pa.DataType) -> Callable[[str], str]:
    """Return what makes a value coarser: which way depends on what it is."""
    if mask.kind == "date_of_birth" or pa.types.is_temporal(kind):
        return _year
    if mask.kind == "postcode":
        return _area
    if mask.kind == "ip_address":
        return _network
    if mask.kind == "location":
        return _neighbourhood
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _band
    raise MaskingError(
        column,
        mask.policy,
        "only dates, numbers, postcodes, addresses on the internet and "
        "locations have something coarser; hash or redact it",
    )


def _year(text: str) -> str:
    found = re.search(r"(?:18|19|20)\d{2}", text)
    return found[0] if found else REDACTED


def _network(text: str) -> str:
    """Return the first three of four bytes, or the first 48 of 128 bits.

    Examples
    --------
    >>> _network("192.0.2.77"), _network("2001:db8:1::beef"), _network("fe80::1")
    ('192.0.2.0', '2001:db8:1::', 'fe80::')
    """
    try:
        address = ip_address(text.strip())
    except ValueError:
        return REDACTED
    bits = 24 if address.version == 4 else 48  # noqa: PLR2004 - of 32, of 128
    return str(ip_network((address, bits), strict=False).network_address)


def _neighbourhood(text: str) -> str:
    """Return coordinates to a tenth of a degree: 11 km; what is none is redacted.

    Examples
    --------
    >>> _neighbourhood("51.12345, 7.4567"), _neighbourhood("51,12345"), _neighbourhood("Oak St")
    ('51.1, 7.4', '51,1', '[redacted]')
    """
    if not re.fullmatch(r"\s*-?\d{1,3}(?:[.,]\d+)?(?:\s*[,; ]\s*-?\d{1,3}(?:[.,]\d+)?)?\s*", text):
        return REDACTED
    return re.sub(r"([.,]\d)\d+", r"\1", text)


def _area(text: str) -> str:
    """Return the first three characters of a postcode, of a short one fewer.

    Examples
    --------
    >>> _area("01067"), _area("SW1A 1AA"), _area("123")
    ('010**', 'SW1*****', '1**')
    """
    kept = min(_POSTCODE_PREFIX, max(0, len(text) - 2))
    return text[:kept] + "*" * (len(text) - kept)


def _band(text: str) -> str:
    """Return the ten years, or units, that a number lies in.

    Examples
    --------
    >>> _band("37"), _band("-3")
    ('30-39', '-10--1')
    """
    start = int(float(text) // _AGE_BAND) * _AGE_BAND
    return f"{start}-{start + _AGE_BAND - 1}"
