from __future__ import annotations

import hashlib
import hmac
import re
from datetime import date, datetime
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import product
from operator import attrgetter
from string import ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.tabular import pii
from tasks.tabular.errors import MaskingError, UnknownColumnError
from tasks.tabular.masking import Mask, choose, format_preserving, mask_file, mask_values
from tests.benchmarks.planted import CLEAN, planted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd

    MaskTable = Callable[..., pa.Table]

KEY, OTHER_KEY = b"a key of sixteen", b"another sixteen!"
ALPHABETS = (digits, ascii_lowercase, ascii_uppercase)
HASH, TOKEN, REDACT, DROP = map(Mask, ("hash", "token", "redact", "drop"))
POLICY = attrgetter("policy")
KEYED = pytest.mark.parametrize("mask", [HASH, TOKEN], ids=["hash", "token"])


def masked(values: object, mask: Mask, key: bytes | None = KEY) -> list[str | float | None]:
    return mask_values(pa.chunked_array([pa.array(values)]), "column", mask, key).to_pylist()


@pytest.fixture
def mask_table(tmp_path: Path) -> MaskTable:
    """Masks a table by way of files, as the platform does."""
    path, target = tmp_path / "open.parquet", tmp_path / "masked.parquet"

    def mask(
        table: pa.Table, masks: Mapping[str, Mask], key: bytes | None = KEY, group: int = 1_000
    ) -> pa.Table:
        pq.write_table(table, path, row_group_size=group)
        missing = mask_file(path, target, masks, key)
        read = pq.read_table(target)
        assert missing == {name: read[name].null_count for name in read.column_names}
        return read

    return mask


def content(table: pa.Table) -> bytes:
    """All values of a table as bytes, with their types."""
    [batch] = table.replace_schema_metadata().combine_chunks().to_batches()
    return batch.serialize().to_pybytes() + batch.schema.serialize().to_pybytes()


@given(st.lists(st.text()), st.binary(min_size=1))
def test_a_hash_is_the_start_of_pythons_hmac(texts: list[str], key: bytes) -> None:
    expected = [hmac.new(key, each.encode(), hashlib.sha256).hexdigest()[:32] for each in texts]

    assert masked(pa.array(texts, pa.string()), HASH, key) == expected


@KEYED
def test_masked_tables_still_join(mask_table: MaskTable, mask: Mask) -> None:
    people = pa.table({"id": [10_007, 10_008, 10_009], "age": [30, 40, 50]})
    orders = pa.table({"id": ["10009", "10007", "10009", "10010"], "price": [1, 2, 3, 4]})

    left, right = (mask_table(each, {"id": mask}) for each in (people, orders))

    joined = right.join(left, "id", join_type="inner").sort_by("price")
    assert joined.select(["age", "price"]).to_pydict() == {"age": [50, 30, 50], "price": [1, 2, 3]}


@KEYED
def test_another_key_gives_other_replacements(mask: Mask) -> None:
    assert masked(["4111 1111 1111 1111"], mask) != masked(["4111 1111 1111 1111"], mask, OTHER_KEY)


@KEYED
@given(st.lists(st.integers(-(2**53), 2**53), min_size=1))
def test_a_whole_number_is_masked_alike_however_it_is_kept(mask: Mask, numbers: list[int]) -> None:
    whole = masked(numbers, mask)

    assert masked([*map(float, numbers), None], mask) == [*whole, None]
    assert masked([*map(float, numbers), 0.5], mask)[:-1] == whole
    assert masked([*map(str, numbers)], mask) == whole


@pytest.mark.parametrize("mask", [HASH, TOKEN, REDACT], ids=POLICY)
@given(st.lists(st.none() | st.sampled_from(["Ann", "Bob", "bob", ""])))
def test_missing_stays_missing_and_equal_stays_equal(mask: Mask, texts: list[str | None]) -> None:
    replaced = masked(pa.array(texts, pa.string()), mask)

    assert [each is None for each in replaced] == [each is None for each in texts]
    assert len(set(zip(texts, replaced, strict=True))) == len(set(texts))


@KEYED
@pytest.mark.parametrize("key", [None, b""])
def test_a_keyed_policy_without_a_key_is_refused(
    mask_table: MaskTable, mask: Mask, key: bytes | None
) -> None:
    with pytest.raises(MaskingError, match=f"'email' .*'{mask.policy}'.* no key"):
        mask_table(pa.table({"email": ["ann@example.com"]}), {"email": mask}, key)


def alphabet(letter: str) -> str:
    return next((each for each in ALPHABETS if letter in each), "")


@given(st.text(st.characters(max_codepoint=127) | st.sampled_from("€😀\u0301")))
def test_a_token_keeps_the_length_the_separators_and_the_kinds_of_letters(text: str) -> None:
    token = format_preserving(text, KEY)

    assert len(token) == len(text)
    for before, after in zip(text, token, strict=True):
        assert after in alphabet(before) or (after == before and not alphabet(before))
    assert format_preserving(text, KEY) == token


@pytest.mark.parametrize("text", ["Иванов", "Müller 12", "王小明", "١٢٣٤"])
def test_a_text_of_another_alphabet_is_hashed(text: str) -> None:
    assert masked([text], TOKEN) == masked([text], HASH)


def test_every_place_of_a_token_is_as_it_was_only_by_chance() -> None:
    texts = [*product(*ALPHABETS)]

    tokens = [list(format_preserving("".join(each), KEY)) for each in texts]

    same = np.mean(np.array(tokens) == np.array(texts), axis=0)
    assert same == pytest.approx([1 / 10, 1 / 26, 1 / 26], abs=0.015)  # four standard errors


SHAPES = [*product(ALPHABETS, repeat=1), *product(ALPHABETS, repeat=2)]
SHAPES += [each for each in product((digits, ascii_lowercase), repeat=3) if digits in each]
SHAPES += [(digits, "-", ascii_uppercase, " ", digits), (digits,) * 4]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda each: "".join(part[0] for part in each))
def test_the_tokens_of_all_texts_of_a_shape_are_these_texts(shape: tuple[str, ...]) -> None:
    texts = ["".join(each) for each in product(*shape)]

    assert {format_preserving(each, KEY) for each in texts} == set(texts)


@pytest.mark.parametrize("value", ["ann@example.com", 4111, date(1985, 3, 2)])
@pytest.mark.parametrize(("kind", "left"), [(None, "[redacted]"), ("email", "[email]")])
def test_redacting_leaves_nothing_of_a_value(value: object, kind: str | None, left: str) -> None:
    assert masked([value, None], Mask("redact", kind)) == [left, None]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Write to ann@example.com, please.", "Write to [email], please."),
        ("Tel. (212) 555-0123 after 6 pm", "Tel. [phone] after 6 pm"),
        ("ann@example.com and bob@example.org", "[email] and [email]"),
        ("Card 4111 1111 1111 1111, SSN 219-09-9998", "Card [credit_card], SSN [us_ssn]"),
        ("To GB82 WEST 1234 5698 7654 32 today", "To [iban] today"),
        ("Order 17 of 2024-01-31 came late", "Order 17 of 2024-01-31 came late"),
    ],
)
def test_redacting_inside_a_text_leaves_the_rest(text: str, left: str) -> None:
    assert masked([text, None], Mask("redact", "email", inside=True)) == [left, None]


def test_a_dropped_column_is_gone(mask_table: MaskTable) -> None:
    left = mask_table(pa.table({"name": ["Ann"], "age": [30]}), {"name": DROP}, None)

    assert left == pa.table({"age": [30]})


def test_dropping_all_columns_is_refused(mask_table: MaskTable) -> None:
    with pytest.raises(MaskingError, match="no column would be left"):
        mask_table(pa.table({"name": ["Ann"], "age": [30]}), {"name": DROP, "age": DROP})


@pytest.mark.parametrize(
    ("values", "kind", "coarse"),
    [
        ([date(1985, 3, 2), None], "date_of_birth", ["1985", None]),
        ([datetime(1985, 3, 2, 20, 19)], None, ["1985"]),
        (["1985-03-02", "02/03/1985", "?"], "date_of_birth", ["1985", "1985", "[redacted]"]),
        ([0.0, 37.0, 39.9, 40.0, None], None, ["0-9", "30-39", "30-39", "40-49", None]),
        (["SW1A 1AA", None], "postcode", ["SW1*****", None]),
        ([10115], "postcode", ["101**"]),
        (["192.168.17.4", "192.168.17.4:80"], "ip_address", ["192.168.17.0", "[redacted]"]),
        ([52.51633, -0.12775, None], "location", [52.5, -0.1, None]),
        (["52.51633, 13.32769"], "location", ["52.5, 13.3"]),
    ],
)
def test_a_coarser_value_is_the_year_the_decade_the_area_or_the_network(
    values: list[object], kind: str | None, coarse: list[object]
) -> None:
    assert masked(values, Mask("generalise", kind)) == coarse


@given(st.integers(-(10**9), 10**9))
def test_a_number_lies_in_its_band_of_ten(number: int) -> None:
    [band] = masked([number], Mask("generalise"))

    first, last = map(int, re.fullmatch(r"(-?\d+)-(-?\d+)", band).groups())
    assert first <= number <= last
    assert (first % 10, last - first) == (0, 9)


@given(st.ip_addresses())
def test_an_address_keeps_its_network_only(address: IPv4Address | IPv6Address) -> None:
    network = ip_network((address, 24 if address.version == 4 else 48), strict=False)

    coarse = masked([str(address), address.exploded], Mask("generalise", "ip_address"))

    assert coarse == [str(network.network_address)] * 2


def test_free_text_has_nothing_coarser(mask_table: MaskTable) -> None:
    with pytest.raises(MaskingError, match="'note' cannot be masked by 'generalise'"):
        mask_table(pa.table({"note": ["Ann likes it."]}), {"note": Mask("generalise")})


def test_what_is_asked_for_goes_before_what_is_usual() -> None:
    findings = [
        pii.Finding("mail", "email", 0.95, 1.0, "values", "hash"),
        pii.Finding("note", "email", 0.76, 0.1, "texts", "redact"),
        pii.Finding("story", "person_name", 0.58, 0.1, "texts", "redact"),
        pii.Finding("remark", "phone", 0.76, 0.1, "texts", "redact"),
        pii.Finding("perhaps", "phone", 0.49, 1.0, "values", "hash"),
    ]

    assert choose(findings, {"mail": "token", "remark": "hash", "age": "generalise"}) == {
        "mail": Mask("token", "email"),
        "note": Mask("redact", "email", inside=True),
        "story": Mask("redact", "person_name"),  # no pattern tells where in it the name is
        "remark": Mask("hash", "phone"),
        "age": Mask("generalise"),
    }


def test_an_unknown_column_is_refused_with_the_nearest(mask_table: MaskTable) -> None:
    with pytest.raises(UnknownColumnError, match="'emial'; did you mean email"):
        mask_table(pa.table({"email": ["ann@example.com"]}), {"emial": REDACT})


def test_rows_keep_their_order_and_other_columns_their_bytes(
    mask_table: MaskTable, adult: pd.DataFrame
) -> None:
    table = pa.Table.from_pandas(adult)

    replaced = mask_table(table, {"occupation": HASH}, group=700)

    assert content(replaced.drop(["occupation"])) == content(table.drop(["occupation"]))
    assert replaced["occupation"].to_pylist() == masked(adult["occupation"], HASH)


@pytest.mark.parametrize("mask", [HASH, TOKEN, REDACT, Mask("generalise")], ids=POLICY)
def test_an_empty_table_stays_empty(mask_table: MaskTable, mask: Mask) -> None:
    table = pa.table({"age": pa.array([], pa.int64()), "city": pa.array([], pa.string())})

    assert mask_table(table, {"age": mask}).to_pydict() == {"age": [], "city": []}


@pytest.mark.parametrize("kind", [pa.string(), pa.float64(), pa.timestamp("ns")], ids=str)
@pytest.mark.parametrize("mask", [HASH, TOKEN, REDACT], ids=POLICY)
def test_a_column_of_missing_values_stays_one(
    mask_table: MaskTable, mask: Mask, kind: pa.DataType
) -> None:
    replaced = mask_table(pa.table({"x": pa.nulls(3, kind)}), {"x": mask}, group=2)

    assert replaced["x"].to_pylist() == [None] * 3


def test_after_masking_nothing_is_left_to_find(tmp_path: Path) -> None:
    path, target = tmp_path / "open.parquet", tmp_path / "masked.parquet"
    planted(np.random.default_rng(7), 200).to_parquet(path)
    masks = choose(pii.find(path).findings, {})
    mask_file(path, target, masks, KEY)

    report = pii.find(target, masked={name: mask.policy for name, mask in masks.items()})

    told_by_values = {each.kind for each in report.findings if each.by != "name"}
    assert told_by_values <= {"ip_address"}  # networks look like addresses
    assert report.unmasked == ()
    before, after = pq.read_table(path), pq.read_table(target)
    assert content(before.select(CLEAN)) == content(after.select(CLEAN))
    for name in [name for name, mask in masks.items() if mask.policy in {"hash", "redact"}]:
        kept = set(before[name].to_pylist()) & set(after[name].to_pylist())
        assert kept <= {None} or masks[name].inside


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("call (020) 8841 1717 089-66000790 soon", "call [phone] [phone] soon"),
        ("write to (020) 8284 3309 0170/4763587 12 days", "write to [phone] 12 days"),
        ("pay gb58lyal86326256834380 now", "pay [iban] now"),
        ("his number 3124660737 is it", "his number [number] is it"),
        ("box 109 of 2024-01-05", "box 109 of 2024-01-05"),
    ],
)
def test_neighbours_and_plain_numbers_within_texts_are_redacted(text: str, left: str) -> None:
    values = pa.chunked_array([[text]])

    assert mask_values(values, "remark", Mask("redact", inside=True), None).to_pylist() == [left]
