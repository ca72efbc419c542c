from __future__ import annotations

import gzip
import zipfile
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks.tabular import errors
from tasks.tabular.reading import ReadOptions, convert, read_table
from tests.unit.tabular.dirty_files import CORPUS, DirtyFile

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

    assert table["name"].tolist() == ["ann", "bob"]
    assert table["age"].isna().tolist() == [False, True]
    assert table["score"].tolist() == [0.5, 1.0]
    assert table.loc[1, "born"] == pd.Timestamp("2021-02-03")


def test_types_come_from_all_rows(tmp_path: Path) -> None:
    rows = "\n".join(["1"] * 50_000)

    table = read_table(write(tmp_path, f"code\n{rows}\nA7\n"))

    assert table["code"].iloc[0] == "1"
    assert table["code"].iloc[-1] == "A7"


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

    assert table.to_dict("list") == {"name": ["ann", "bob"], "age": [1, 2]}


def test_a_quoted_line_end_is_part_of_its_value(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, 'a,b\n"one\ntwo",1\nthree,2\n'))

    assert table["a"].tolist() == ["one\ntwo", "three"]


def test_parquet_is_read_as_it_was_written(tmp_path: Path, adult: pd.DataFrame) -> None:
    path = tmp_path / "adult.parquet"
    adult.to_parquet(path)

    pd.testing.assert_frame_equal(read_table(path), adult)


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

    frame = read_table(path)

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

    assert "income" in read_table(path).columns


def test_the_line_of_a_ragged_row_counts_quoted_line_ends(tmp_path: Path) -> None:
    with pytest.raises(errors.RaggedRowError, match="line 5"):
        read_table(write(tmp_path, 'a,b\n"x\ny\nz",1\n3\n'))


def test_infinite_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.MalformedTableError, match="'b' is infinite in line 3"):
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
        pytest.param(b"a\nx\n\0\n", "a.csv", errors.EncodingError, "line 3", id="null byte"),
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


@pytest.mark.parametrize("file", CORPUS, ids=lambda each: each.name)
def test_files_of_the_wild_are_read_right_or_refused(tmp_path: Path, file: DirtyFile) -> None:
    path = write(tmp_path, file.content, file.file)

    if file.expected is not None:
        pd.testing.assert_frame_equal(read_table(path), file.expected)
        return
    with pytest.raises(errors.TabularError) as refused:
        read_table(path)
    for words in file.refused:
        assert words in str(refused.value)


LATER = "code,price,day\n0815,1.5,13/04/2020\n4711,2.5,05/06/2020\n"


@pytest.fixture
def known(tmp_path: Path) -> dict[str, str]:
    """The formats that a first version had."""
    return convert(write(tmp_path, LATER), tmp_path / "frame.parquet").formats


def test_types_are_those_of_the_first_version(tmp_path: Path, known: dict[str, str]) -> None:
    later = write(tmp_path, "code,price,day\n4711,3,05/06/2020\n", "later.csv")

    done = convert(later, tmp_path / "later.parquet", known=known)

    frame = pd.read_parquet(tmp_path / "later.parquet")
    assert done.formats == known == {"code": "text", "price": "number", "day": "d/m/y"}
    assert frame["code"].tolist() == ["4711"]
    assert frame["price"].tolist() == [3.0]
    assert pd.Timestamp(frame["day"][0]) == pd.Timestamp("2020-06-05")


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [
        ("1,cheap,05/06/2020", "price", "cheap"),
        ("1,1.5,2020-06-05", "day", "2020-06-05"),
        ('1,"1,5",05/06/2020', "price", "1,5"),
    ],
)
def test_a_value_of_another_type_is_refused_by_line_and_column(
    tmp_path: Path, known: dict[str, str], row: str, column: str, value: str
) -> None:
    later = write(tmp_path, f'code,price,day\n"a\nb",1,05/06/2020\n{row}\n', "later.csv")

    with pytest.raises(errors.MistypedValueError, match=f"line 4 .*'{column}'.*'{value}'"):
        convert(later, tmp_path / "later.parquet", known=known)


def test_whole_numbers_may_become_decimals(tmp_path: Path) -> None:
    later = write(tmp_path, "price\n1.5\n2\n")

    convert(later, tmp_path / "later.parquet", known={"price": "whole"})

    assert pd.read_parquet(tmp_path / "later.parquet")["price"].tolist() == [1.5, 2.0]


def test_types_are_inferred_again_when_asked(tmp_path: Path, known: dict[str, str]) -> None:
    later = write(tmp_path, "code,price,day\n1,cheap,2020-06-05\n", "later.csv")

    done = convert(later, tmp_path / "l.parquet", ReadOptions(infer_again=True), known=known)

    assert done.formats == {"code": "whole", "price": "text", "day": "date"}


def test_what_is_said_of_a_file_is_believed(tmp_path: Path) -> None:
    content = "wort:tag\nщит:03/04/2020\n".encode("cp1251")
    options = ReadOptions(delimiter=":", encoding="cp1251", types={"tag": "m/d/y"})

    table = read_table(write(tmp_path, content), options)

    assert table["wort"].tolist() == ["щит"]
    assert table["tag"][0] == pd.Timestamp("2020-03-04")


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        (ReadOptions(types={"nme": "text"}), errors.UnknownColumnError, "did you mean name"),
        (ReadOptions(types={"name": "txt"}), errors.UnknownNameError, "did you mean text"),
        (ReadOptions(types={"name": "whole"}), errors.MistypedValueError, "line 2"),
    ],
)
def test_what_is_wrongly_said_is_refused(
    tmp_path: Path, options: ReadOptions, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        read_table(write(tmp_path, GOOD), options)


def test_a_table_without_a_header_gets_one_when_asked(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "1.5,a\n2.5,b\n"), ReadOptions(header=False))

    assert table.to_dict("list") == {"column_1": [1.5, 2.5], "column_2": ["a", "b"]}


def test_a_column_nobody_can_read_for_sure_is_named(tmp_path: Path) -> None:
    done = convert(write(tmp_path, "day\n03/04/2020\n"), tmp_path / "frame.parquet")

    assert "'day' stays text: its values could be d/m/y or m/d/y" in done.notes[0]


def test_one_member_of_an_archive_is_read_when_named(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "x\n1\n")
        archive.writestr("b/c.csv", "y\n2\n")

    assert list(read_table(path, ReadOptions(member="c.csv")).columns) == ["y"]


def test_an_archive_that_unpacks_to_more_than_allowed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(b"a\n" + b"1\n" * 10**6), "a.csv.gz")

    with pytest.raises(errors.ArchiveError, match="unpacks to more"):
        read_table(path, ReadOptions(limit_bytes=10**6))


def test_the_same_rows_give_the_same_bytes_however_they_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{n},{n / 8},x{n % 7}\n" for n in range(200_000))
    path, files = write(tmp_path, f"a,b,c\n{rows}"), []
    for block in (2**16, 2**22):
        monkeypatch.setattr("tasks.tabular.containers._BLOCK", block)
        files.append(tmp_path / f"{block}.parquet")
        convert(path, files[-1])

    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('id,name\n1,x\n5,"abc\n6,q\n100,"def\n101,z\n', "after line 2"),
        ('id,name\n1,"x"y\n', "after line 1: text goes on after a closing quote"),
        ('id,name\n1,x\n2,"abc\n3,y\n', "line 3: a quote that is opened there is never closed"),
    ],
)
def test_quotes_out_of_place_are_refused(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(errors.MalformedTableError, match=says):
        read_table(write(tmp_path, content))


def test_quotes_within_a_text_are_part_of_it(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, 'id,name\n1,5" pipe\n2,"a ""b"", c"\n'))

    assert table["name"].tolist() == ['5" pipe', 'a "b", c']


@pytest.mark.parametrize("encoding", ["hex", "idna", "utf-7", "cp037", "undefined", "klingon"])
def test_an_encoding_that_is_none_of_tables_is_refused(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(errors.MalformedTableError, match="is no encoding of tables"):
        read_table(write(tmp_path, GOOD), ReadOptions(encoding=encoding))


@pytest.mark.parametrize("delimiter", ['"', "é", "\n", ",,", ""])
def test_a_delimiter_that_cannot_be_one_is_refused(delimiter: str) -> None:
    with pytest.raises(ValidationError):
        ReadOptions(delimiter=delimiter)


def test_long_whole_numbers_keep_their_digits_in_every_format(tmp_path: Path) -> None:
    long = [9007199254740993, None, 3]
    pq.write_table(pa.table({"id": long}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": [Decimal(12345678901234567890)]}), tmp_path / "d.parquet")

    assert read_table(tmp_path / "a.parquet")["id"].tolist() == ["9007199254740993", None, "3"]
    assert read_table(tmp_path / "d.parquet")["id"].tolist() == ["12345678901234567890"]
    lines = write(tmp_path, '{"id": 9007199254740993}\n{"id": 1.5}\n', "a.jsonl")
    assert read_table(lines)["id"].tolist() == ["9007199254740993", "1.5"]


def test_names_are_stripped_of_blanks_with_their_values(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, '{" a": 1, "b": 2}\n{" a": 3}\n', "a.jsonl"))

    assert table["a"].tolist() == [1, 3]


def test_an_arrow_file_that_lies_about_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, pa.schema([("a", "string")])) as w,
    ):
        w.write_table(pa.table({"a": ["x" * 8, "y" * 8]}))
    offsets = np.array([0, 8, 16], np.int32).tobytes()
    path.write_bytes(
        path.read_bytes().replace(offsets, np.array([0, 5000, 16], np.int32).tobytes())
    )

    with pytest.raises(errors.MalformedTableError):
        read_table(path)


def _workbook(path: Path, cells: dict[str, str]) -> Path:
    """Write a workbook of one sheet with texts in named cells."""
    rows: dict[str, str] = {}
    for place, value in cells.items():
        row = place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        text = f'<c r="{place}" t="inlineStr"><is><t>{value}</t></is></c>'
        rows[row] = rows.get(row, "") + text
    sheet = "".join(f'<row r="{row}">{content}</row>' for row, content in rows.items())
    main = "http://schemas.openxmlformats.org"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{main}/package/2006/relationships"><Relationship Id="r1" Type="'
            f'{main}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>",
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}/spreadsheetml/2006/main" xmlns:r="{main}/officeDocument/2006/'
            'relationships"><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{main}/package/2006/relationships"><Relationship Id="r1" Type="'
            f'{main}/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>'
            "</Relationships>",
        )
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{main}/spreadsheetml/2006/main"><sheetData>{sheet}</sheetData>'
            "</worksheet>",
        )
    return path


def test_a_table_may_begin_anywhere_in_its_sheet(tmp_path: Path) -> None:
    cells = {"B3": "name", "C3": "town", "B4": "ann", "C4": "Ulm", "B5": "bob", "C5": "Bonn"}

    table = read_table(_workbook(tmp_path / "a.xlsx", cells))

    assert table.to_dict("list") == {"name": ["ann", "bob"], "town": ["Ulm", "Bonn"]}


def test_a_sheet_that_would_fill_memory_is_refused(tmp_path: Path) -> None:
    path = _workbook(tmp_path / "a.xlsx", {"A1": "name", "XFD1048576": "far"})

    with pytest.raises(errors.ArchiveError, match="1,048,576 rows and 16,384 columns"):
        read_table(path)


@pytest.mark.parametrize("before", [0, 60_000])
def test_a_long_value_may_come_at_any_place(
    tmp_path: Path, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.tabular.containers._BLOCK", 2**16)
    rows = "".join(f"{n},short\n" for n in range(before))
    path = write(tmp_path, f"n,text\n{rows}{before},{'x' * 2**18}\n{before + 1},end\n")

    table = read_table(path)

    assert table["n"].tolist() == [*range(before + 2)]
    assert len(table["text"][before]) == 2**18


def test_a_row_that_is_too_long_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.tabular.containers._BLOCK", 2**12)
    monkeypatch.setattr("tasks.tabular.containers._LONGEST", 2**14)
    rows = "".join(f"{n},short\n" for n in range(5_000))

    with pytest.raises(errors.MalformedTableError, match="row that ends on line 5002 is longer"):
        read_table(write(tmp_path, f"n,text\n{rows}1,{'x' * 2**17}\n2,end\n"))
