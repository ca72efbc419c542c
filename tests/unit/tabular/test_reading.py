from __future__ import annotations

import gzip
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.tabular import errors
from tasks.tabular.reading import read_table

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "name,age\nann,1\nbob,2\n"


def write(folder: Path, content: bytes | str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_table_is_read_with_its_types(tmp_path: Path) -> None:
    table = read_table(
        write(tmp_path, "name,age,score,born\nann,1,0.5,2020-01-01\nbob,,1,2021-02-03\n")
    )

    assert table.frame["name"].tolist() == ["ann", "bob"]
    assert table.frame["age"].isna().tolist() == [False, True]
    assert table.frame["score"].tolist() == [0.5, 1.0]
    assert table.frame.loc[1, "born"] == pd.Timestamp("2021-02-03")


def test_types_come_from_all_rows(tmp_path: Path) -> None:
    rows = "\n".join(["1"] * 50_000)

    table = read_table(write(tmp_path, f"code\n{rows}\nA7\n"))

    assert table.frame["code"].iloc[0] == "1"
    assert table.frame["code"].iloc[-1] == "A7"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(GOOD.encode(), "a.csv", id="plain"),
        pytest.param(gzip.compress(GOOD.encode()), "a.csv.gz", id="gzipped"),
        pytest.param(b"\xef\xbb\xbf" + GOOD.encode(), "a.csv", id="byte order mark"),
        pytest.param(GOOD.replace("\n", "\r\n").encode(), "a.csv", id="Windows line ends"),
        pytest.param(GOOD.rstrip("\n").encode(), "a.csv", id="no last line end"),
    ],
)
def test_the_same_table_in_other_bytes(tmp_path: Path, content: bytes, name: str) -> None:
    table = read_table(write(tmp_path, content, name))

    assert table.frame.to_dict("list") == {"name": ["ann", "bob"], "age": [1, 2]}


def test_a_quoted_line_end_is_part_of_its_value(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, 'a,b\n"one\ntwo",1\nthree,2\n'))

    assert table.frame["a"].tolist() == ["one\ntwo", "three"]


def test_parquet_is_read_as_it_was_written(tmp_path: Path, adult: pd.DataFrame) -> None:
    path = tmp_path / "adult.parquet"
    adult.to_parquet(path)

    pd.testing.assert_frame_equal(read_table(path).frame, adult)


def test_exotic_parquet_types_become_plain_ones(tmp_path: Path) -> None:
    path = tmp_path / "exotic.parquet"
    table = pa.table(
        {
            "group": pa.array(["a", "b"]).dictionary_encode(),
            "price": pa.array([Decimal("1.50"), Decimal("2.25")]),
            "day": pa.array([date(2024, 1, 1), None]),
        }
    )
    pq.write_table(table, path)

    frame = read_table(path).frame

    assert frame["group"].tolist() == ["a", "b"]
    assert frame["price"].tolist() == [1.5, 2.25]
    assert frame["day"].iloc[0] == pd.Timestamp("2024-01-01")


def test_nested_parquet_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nested.parquet"
    pq.write_table(pa.table({"a": [1, 2], "points": [[1], [2, 3]]}), path)

    with pytest.raises(errors.MalformedTableError, match="'points'"):
        read_table(path)


def test_an_index_that_pandas_kept_stays_a_column(tmp_path: Path, adult: pd.DataFrame) -> None:
    path = tmp_path / "indexed.parquet"
    adult.set_index("income").to_parquet(path)

    assert "income" in read_table(path).frame.columns


def test_the_line_of_a_ragged_row_counts_quoted_line_ends(tmp_path: Path) -> None:
    with pytest.raises(errors.RaggedRowError, match="line 5"):
        read_table(write(tmp_path, 'a,b\n"x\ny\nz",1\n3\n'))


def test_infinite_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.MalformedTableError, match="'b' is infinite in row 2"):
        read_table(write(tmp_path, "a,b\n1,2.5\n3,inf\n"))


@pytest.mark.parametrize(
    ("content", "name", "error", "says"),
    [
        pytest.param(b"", "a.csv", errors.EmptyTableError, "is empty", id="empty"),
        pytest.param(b" \n\n", "a.csv", errors.EmptyTableError, "white space", id="blank"),
        pytest.param(b"a,b\n", "a.csv", errors.EmptyTableError, "no rows", id="header only"),
        pytest.param(b"a,b,a\n1,2,3\n", "a.csv", errors.HeaderError, "repeats 'a'", id="twice"),
        pytest.param(b"a,,c\n1,2,3\n", "a.csv", errors.HeaderError, "column 2", id="no name"),
        pytest.param(b"a,b\n1,2\n3\n", "a.csv", errors.RaggedRowError, "line 3", id="short row"),
        pytest.param(b"a,b\n1,2,3\n", "a.csv", errors.RaggedRowError, "line 2", id="long row"),
        pytest.param(b"a\nx\ncaf\xe9\n", "a.csv", errors.EncodingError, "line 3", id="Latin-1"),
        pytest.param(b"a\nx\n\0\n", "a.csv", errors.EncodingError, "line 3", id="null byte"),
        pytest.param(
            b"a,b\n1,x\n1,x\n", "a.csv", errors.ConstantTableError, "2 col", id="constant"
        ),
        pytest.param(
            b"\x1f\x8bjunk", "a.csv.gz", errors.MalformedTableError, "gzip", id="bad gzip"
        ),
        pytest.param(b"PAR1junk", "a.parquet", errors.MalformedTableError, "", id="bad Parquet"),
        pytest.param(b"x", "a.docx", errors.UnsupportedFormatError, ".parquet", id="format"),
    ],
)
def test_a_bad_file_is_refused_with_cause(
    tmp_path: Path, content: bytes, name: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as refused:
        read_table(write(tmp_path, content, name))

    assert str(refused.value).startswith("ingest: ")


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 10_000)

    with pytest.raises(errors.MalformedTableError):
        read_table(write(tmp_path, whole[: len(whole) // 2], "a.csv.gz"))


@pytest.mark.parametrize("missing", ["nowhere.csv", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, missing: str) -> None:
    with pytest.raises(errors.SourceNotFoundError):
        read_table(tmp_path / missing)
