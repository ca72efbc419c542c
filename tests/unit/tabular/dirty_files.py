"""Files as people really export them, each with the frame they hold or the words of its refusal."""

from __future__ import annotations

import codecs
import gzip
import html
import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONG = 50_000
"""Rows of a file whose last one decides: no reader that looks at a sample gets it right."""

NO_BREAK, NARROW_NO_BREAK = "\u00a0", "\u202f"


@dataclass(frozen=True, slots=True, eq=False)
class DirtyFile:
    """The `content` of a `file`, and what a correct reader makes of it.

    That is the `expected` frame, or an error whose message has each text of `refused`.
    """

    name: str
    file: str
    content: bytes
    expected: pd.DataFrame | None
    refused: tuple[str, ...] = ()


def table(
    name: str, content: str | bytes, expected: Mapping[str, Any], file: str = "a.csv"
) -> DirtyFile:
    raw = content.encode() if isinstance(content, str) else content
    return DirtyFile(name, file, raw, pd.DataFrame(dict(expected)))


def column(name: str, texts: Sequence[str], expected: Any) -> DirtyFile:
    """Return a file of one column to read, beside an `id` that makes the delimiter plain."""
    lines = "".join(f"{place};{text}\n" for place, text in enumerate(texts, 1))
    frame = {"id": range(1, len(texts) + 1), "value": expected}
    return table(name, f"id;value\n{lines}", frame)


def text(name: str, *texts: str) -> DirtyFile:
    return column(name, texts, list(texts))


def refusal(name: str, content: str | bytes, *says: str, file: str = "a.csv") -> DirtyFile:
    raw = content.encode() if isinstance(content, str) else content
    return DirtyFile(name, file, raw, None, says)


def late(value: str, last: str, expected: Any) -> tuple[list[str], Any]:
    """Return the texts of a column whose last row differs, with what they are read as."""
    return [value] * (LONG - 1) + [last], expected


def repeated(value: object, last: object) -> list[object]:
    return [value] * (LONG - 1) + [last]


def days(*texts: str | None) -> np.ndarray:
    return np.array([each or "NaT" for each in texts], dtype="datetime64[ms]")


def times(*texts: str | None) -> np.ndarray:
    return np.array([each or "NaT" for each in texts], dtype="datetime64[us]")


def instants(*texts: str | None) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(times(*texts)).tz_localize("UTC")


def parquet(content: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(content, sink)
    return sink.getvalue()


def feathered(content: pa.Table) -> bytes:
    sink = io.BytesIO()
    feather.write_feather(content, sink)
    return sink.getvalue()


def json_lines(*objects: object) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


def archive(members: Mapping[str, str | bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return sink.getvalue()


def encrypted(content: bytes) -> bytes:
    """Return the archive of one member with the flags set that say it needs a password."""
    raw = bytearray(content)
    raw[raw.index(b"PK\x03\x04") + 6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def bomb(mebibytes: int) -> bytes:
    """Return an archive whose deflated stream is one block, repeated: no time is spent on it."""
    block, checksum = b"1,2\n" * 2**18, 0
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    part = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    for _ in range(mebibytes):
        checksum = zlib.crc32(block, checksum)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as packed:
        packed.writestr("bomb.csv", part * mebibytes + deflate.flush())
        member = packed.getinfo("bomb.csv")  # the directory, which readers trust, comes last
        member.compress_type, member.CRC = zipfile.ZIP_DEFLATED, checksum
        member.file_size = mebibytes * len(block)
    return sink.getvalue()


def workbook(*rows: Sequence[object]) -> bytes:
    """Return the smallest Excel workbook: texts inline, days as numbers in the style of days."""

    def cell(place: str, value: object) -> str:
        match value:
            case None:
                return ""
            case bool():
                return f'<c r="{place}" t="b"><v>{value:d}</v></c>'
            case date():
                return f'<c r="{place}" s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
            case str():
                inline = f"<is><t>{html.escape(value)}</t></is>"
                return f'<c r="{place}" t="inlineStr">{inline}</c>'
        return f'<c r="{place}"><v>{value}</v></c>'

    def row(line: int, values: Sequence[object]) -> str:
        cells = (cell(f"{chr(65 + place)}{line}", value) for place, value in enumerate(values))
        return f'<row r="{line}">{"".join(cells)}</row>'

    lines = "".join(row(line, values) for line, values in enumerate(rows, 1))
    return archive({name: content.replace("ROWS", lines) for name, content in WORKBOOK.items()})


_OFFICE = "http://schemas.openxmlformats.org"
_MAIN = f'xmlns="{_OFFICE}/spreadsheetml/2006/main"'
_LINKS = f"{_OFFICE}/officeDocument/2006/relationships"
_RELATIONS = f'<Relationships xmlns="{_OFFICE}/package/2006/relationships">'
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
WORKBOOK = {
    "[Content_Types].xml": f'<Types xmlns="{_OFFICE}/package/2006/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'{_RELATIONS}<Relationship Id="r1" Type="{_LINKS}/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_LINKS}"><sheets>'
    '<sheet name="Data" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'{_RELATIONS}<Relationship Id="r1" Type="{_LINKS}/worksheet" '
    f'Target="worksheets/sheet1.xml"/><Relationship Id="r2" Type="{_LINKS}/styles" '
    'Target="styles.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet {_MAIN}><fonts count="1"><font/></fonts>'
    '<fills count="1"><fill/></fills><borders count="1"><border/></borders>'
    '<cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="2"><xf/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
    "xl/worksheets/sheet1.xml": f"<worksheet {_MAIN}><sheetData>ROWS</sheetData></worksheet>",
}

SMALL, SMALL_FRAME = "name,age\nann,1\nbob,2\n", {"name": ["ann", "bob"], "age": [1, 2]}

GERMAN = "Straße;Ort;Preis\r\nMüllerweg 1;Köln;12,50\r\nÖlgasse 2;Gießen;7,00\r\n"
GERMAN_FRAME = {
    "Straße": ["Müllerweg 1", "Ölgasse 2"],
    "Ort": ["Köln", "Gießen"],
    "Preis": [12.5, 7.0],
}

ENCODINGS = [
    table("German addresses in UTF-8", GERMAN, GERMAN_FRAME),
    table("Excel's CSV UTF-8 begins with a mark that is no name", "\ufeff" + GERMAN, GERMAN_FRAME),
    table("German Excel's plain CSV is Windows-1252", GERMAN.encode("cp1252"), GERMAN_FRAME),
    table(
        "UTF-16 little end first, with its mark",
        codecs.BOM_UTF16_LE + GERMAN.encode("utf-16-le"),
        GERMAN_FRAME,
    ),
    table(
        "UTF-16 big end first, with its mark",
        codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be"),
        GERMAN_FRAME,
    ),
    table(
        "a mark before a quoted name leaves the quotes quotes",
        '\ufeff"name","age"\r\n"ann","1"\r\n"bob","2"\r\n',
        SMALL_FRAME,
    ),
    table(
        "Excel's Unicode Text: UTF-16, tabs, and letters with a byte like a line end",
        codecs.BOM_UTF16_LE
        + "name\tnote\r\nĊetta\tone, two\r\n東京\tthree\r\n".encode("utf-16-le"),
        {"name": ["Ċetta", "東京"], "note": ["one, two", "three"]},
        file="a.txt",
    ),
    table(
        "the quotes, dots and euro that only Windows-1252 has",
        b"id,note\n1,\x93well\x94\n2,wait\x85\n3,it\x92s 5\x80\n4,caf\xe9\n",
        {
            "id": [1, 2, 3, 4],
            "note": ["\u201cwell\u201d", "wait\u2026", "it\u2019s 5\u20ac", "café"],
        },
    ),
    table(
        "Latin-1 from Portugal, Spain, Iceland and Sweden",
        "city,people\nSão Paulo,12\nMálaga,1\nReykjavík,0\nÅre,0\n".encode("latin-1"),
        {"city": ["São Paulo", "Málaga", "Reykjavík", "Åre"], "people": [12, 1, 0, 0]},
    ),
    table(
        "a French export in Windows-1252 groups by the no-break space",
        "Libellé;Montant\r\nCafé crème;1\xa0234,50\r\nThé;7,25\r\n".encode("cp1252"),
        {"Libellé": ["Café crème", "Thé"], "Montant": [1234.5, 7.25]},
    ),
    table(
        "the only accent of a Windows-1252 file is in its last row",
        b"name,age\n" + b"Anna,31\n" * (LONG - 1) + "André,30\n".encode("cp1252"),
        {"name": repeated("Anna", "André"), "age": repeated(31, 30)},
    ),
    table(
        "names and values in other scripts, accents apart from their letters, and emoji",
        "城市,ประเทศ\n東京,🎉 ok\nदिल्ली,🇨🇭\nمكة,cafe\u0301\n",
        {"城市": ["東京", "दिल्ली", "مكة"], "ประเทศ": ["🎉 ok", "🇨🇭", "cafe\u0301"]},
    ),
    table(
        "what Unicode calls line and page ends are part of their values",
        "id,note\n1,one\u2028two\n2,a\x0bb\x0cc\n3,d\x1ce\x85f\n",
        {"id": [1, 2, 3], "note": ["one\u2028two", "a\x0bb\x0cc", "d\x1ce\x85f"]},
    ),
    refusal(
        "Unicode's line ends are not counted as lines",
        "id,note\n1,one\u2028two\x0cthree\x85four\n2\n",
        "line 3",
    ),
    refusal(
        "Russian in Windows-1251 is not read as accents",
        "city,people\nMoscow,13\nМосква,13\nКазань,1\nОмск,2\n".encode("cp1251"),  # noqa: RUF001 - Cyrillic on purpose
        "line 3",
    ),
    refusal("Japanese in Shift-JIS", "id,city\n1,東京\n2,大阪市\n".encode("shift_jis"), "line 2"),
    refusal("Chinese in GBK", "id,city\n1,x\n2,北京\n3,上海市\n".encode("gbk"), "line 3"),
    refusal(
        "Polish in Windows-1250 is not Western European",
        "id;miasto\n1;Warszawa\n2;Łódź\n3;Wrocław\n4;Świętochłowice\n5;Bielsko-Biała\n".encode(
            "cp1250"
        ),
        "line 3",
    ),
    refusal("a null byte in a value", "a,b\n1,x\n2,y\0z\n", "line 3"),
    refusal("a file padded to its block with null bytes", "a,b\n1,2\n3,4\n" + "\0" * 512, "line 4"),
    refusal("UTF-16 without its mark", "a,b\n1,2\n3,4\n".encode("utf-16-le"), "line 1"),
]

WIDE = 2_000
MEGABYTE = "x" * 2**20

DELIMITERS = [
    table("semicolons", "name;age\nann;1\nbob;2\n", SMALL_FRAME),
    table("tabs in a .csv", "name\tage\nann\t1\nbob\t2\n", SMALL_FRAME),
    table(
        "pipes",
        "name|note\nann|a,b;c\nbob|d,e;f\n",
        {"name": ["ann", "bob"], "note": ["a,b;c", "d,e;f"]},
    ),
    table(
        "as many commas in each text as there could be columns, between tabs",
        "id\ttitle\n1\tVeni, vidi, vici\n2\tLock, stock, barrel\n",
        {"id": [1, 2], "title": ["Veni, vidi, vici", "Lock, stock, barrel"]},
        file="a.tsv",
    ),
    table(
        "more commas than semicolons, in every row",
        "id;note\n1;a, b, c, d\n2;e, f, g, h\n",
        {"id": [1, 2], "note": ["a, b, c, d", "e, f, g, h"]},
    ),
    table(
        "MovieLens: lists of genres between pipes, in a file of commas",
        "movieId,title,genres\n1,Toy Story (1995),Adventure|Animation|Comedy\n"
        '11,"American President, The (1995)",Comedy|Drama|Romance\n',
        {
            "movieId": [1, 11],
            "title": ["Toy Story (1995)", "American President, The (1995)"],
            "genres": ["Adventure|Animation|Comedy", "Comedy|Drama|Romance"],
        },
    ),
    table(
        "the other delimiter in a quoted name",
        '"Name, first, last";Age\nAnn;1\nBob;2\n',
        {"Name, first, last": ["Ann", "Bob"], "Age": [1, 2]},
    ),
    table("one column needs no delimiter", "name\nann\nbob\n", {"name": ["ann", "bob"]}),
    table(
        "a decimal comma in each of two columns is no delimiter",
        "x;y\n1,5;2,5\n3,5;4,5\n",
        {"x": [1.5, 3.5], "y": [2.5, 4.5]},
    ),
    table(
        "a decimal comma between commas is quoted",
        'x,y\n"1,5",a\n"2,25",b\n',
        {"x": [1.5, 2.25], "y": ["a", "b"]},
    ),
    table(
        "Excel's first line sep=; is no header",
        "sep=;\r\nname;age\r\nann;1\r\nbob;2\r\n",
        SMALL_FRAME,
    ),
    table(
        "sep=; decides where commas would win",
        "\ufeffsep=;\r\na,x;b,x\r\n1,2;3,4\r\n5,6;7,8\r\n",
        {"a,x": [1.2, 5.6], "b,x": [3.4, 7.8]},
    ),
    table("sep= with a tab", "sep=\t\r\nname\tage\r\nann\t1\r\nbob\t2\r\n", SMALL_FRAME),
    refusal("the line sep=; counts as a line", "sep=;\r\na;b\r\n1;2\r\n3\r\n", "line 4"),
]

SHAPES = [
    table("Windows line ends", SMALL.replace("\n", "\r\n"), SMALL_FRAME),
    table("the last line has no end", SMALL.rstrip(), SMALL_FRAME),
    table("line ends of both kinds", "name,age\r\nann,1\nbob,2\r\n", SMALL_FRAME),
    table("the name of the file is in capitals", SMALL, SMALL_FRAME, file="REPORT.CSV"),
    table(
        "the last value is empty and its line has no end",
        "a,b\n1,x\n2,",
        {"a": [1, 2], "b": ["x", None]},
    ),
    table(
        "blank lines before, between and behind",
        "\n\nname,age\n\nann,1\r\n\r\nbob,2\n\n\n",
        SMALL_FRAME,
    ),
    table("blank lines of a single column are no rows", "a\n1\n\n3\n\n", {"a": [1, 3]}),
    table("a quoted nothing in a single column is a row", 'a\n1\n""\n3\n', {"a": [1, None, 3]}),
    table(
        "a line of nothing but delimiters is a row of missing values",
        "name,age\nann,1\n,\nbob,2\n",
        {"name": ["ann", None, "bob"], "age": [1, None, 2]},
    ),
    table(
        "Alt+Enter in Excel puts a line end into a value",
        'a,b\r\n"one\ntwo",1\r\n"\n",2\r\n',
        {"a": ["one\ntwo", "\n"], "b": [1, 2]},
    ),
    table(
        "a blank line within quotes is no blank line",
        'a,b\n"one\n\ntwo",1\nx,2\n',
        {"a": ["one\n\ntwo", "x"], "b": [1, 2]},
    ),
    table(
        "doubled quotes, and a value that is a quote",
        'id,said\n1,"She said ""no"", twice"\n2,""""\n3,""""""\n',
        {"id": [1, 2, 3], "said": ['She said "no", twice', '"', '""']},
    ),
    table(
        "inches and apostrophes are no quotes inside a value",
        "id,part\n1,5\" disk\n2,it's\n3,6'2\"\n",
        {"id": [1, 2, 3], "part": ['5" disk', "it's", "6'2\""]},
    ),
    table(
        "a backslash escapes nothing, not even the quote behind it",
        'id,path\n1,"C:\\new\\"\n2,C:\\table\\x\n',
        {"id": [1, 2], "path": ["C:\\new\\", "C:\\table\\x"]},
    ),
    table(
        "JSON in a quoted value",
        'id,payload\n1,"{""a"": 1, ""b"": [2, 3]}"\n2,{}\n',
        {"id": [1, 2], "payload": ['{"a": 1, "b": [2, 3]}', "{}"]},
    ),
    table(
        "quotes around every value change no type",
        '"n","x","d","t","b"\n"1","2.5","2020-01-31","a","true"\n"2","","2020-02-29","b","false"\n',
        {
            "n": [1, 2],
            "x": [2.5, None],
            "d": days("2020-01-31", "2020-02-29"),
            "t": ["a", "b"],
            "b": [True, False],
        },
    ),
    table(
        "formulas are texts",
        'id,cell\n1,=cmd()\n2,"=HYPERLINK(""http://x"",""y"")"\n3,@SUM(A1)\n4,-2+3\n5,+1+1\n6,="007"\n',
        {
            "id": [1, 2, 3, 4, 5, 6],
            "cell": ["=cmd()", '=HYPERLINK("http://x","y")', "@SUM(A1)", "-2+3", "+1+1", '="007"'],
        },
    ),
    table(
        "a value of a megabyte",
        f'id,text\n1,{MEGABYTE}\n2,"{MEGABYTE},\n"\n',
        {"id": [1, 2], "text": [MEGABYTE, f"{MEGABYTE},\n"]},
    ),
    table(
        "two thousand columns",
        "\n".join(
            [
                ",".join(f"c{place}" for place in range(WIDE)),
                ",".join(map(str, range(WIDE))),
                ",".join(["7"] * WIDE),
            ]
        ),
        {f"c{place}": [place, 7] for place in range(WIDE)},
    ),
    table("one row", "a,b\n1,x\n", {"a": [1], "b": ["x"]}),
    refusal("a row too short", "a,b\n1,2\n3\n", "line 3"),
    refusal("a row too long", "a,b\n1,2\n3,4,5\n", "line 3"),
    refusal("a short row behind quoted line ends", 'a,b\n"x\ny\nz",1\n3\n', "line 5"),
    refusal(
        "a short row that ends lines below where it began", 'a,b\n1,2\n"x\ny\nz"\n3,4\n', "line 5"
    ),
    refusal("a short row behind blank lines", "\na,b\n\n1,2\r\n\r\n3\n", "line 6"),
    refusal(
        "a short row after many good ones", "a,b\n" + "1,2\n" * LONG + "3\n", f"line {LONG + 2}"
    ),
    refusal("thousands whose commas nobody quoted", "a,b\n1,2\n3,1,234\n", "line 3"),
    refusal("a delimiter at the end of the rows alone", "a,b\n1,2,\n3,4,\n", "line 2"),
    refusal("the footer of psql", "a,b\n1,2\n3,4\n\n(2 rows)\n", "line 5"),
    refusal("a title above the table", "Umsatz 2021\n\nMonat;Betrag\nJanuar;5\nMai;6\n", "line 3"),
    refusal("a quote that is never closed", 'a,b\n1,x\n2,"open\n3,y\n4,z\n', "line 3"),
    refusal("an open quote in the header", '"a,b\n1,2\n3,4\n', "line 1"),
    refusal("an open quote behind quoted line ends", 'a,b\n"x\ny",1\n2,"open\n3,z\n', "line 4"),
    refusal("an open quote above many rows", 'a,b\n1,"x\n' + "1,2\n" * LONG, "line 2"),
    refusal(
        "a record whose last value is open begins above it",
        'a,b,c\n1,2,3\n"x\ny",5,"open\n7,8,9\n',
        "line 3",
    ),
    refusal("no bytes", b"", "is empty"),
    refusal("nothing but white space", " \r\n\t\n\n", "white space"),
    refusal("nothing but a mark", b"\xef\xbb\xbf"),
    refusal("a header alone", "a,b\n", "no rows"),
    refusal("a header alone, without a line end", "a;b", "no rows"),
    refusal("a header with blank lines behind", "a,b\r\n\r\n\r\n", "no rows"),
]

HEADERS = [
    table(
        "blanks around names are stripped, inside they stay",
        " first name , age \nann,1\nbob,2\n",
        {"first name": ["ann", "bob"], "age": [1, 2]},
    ),
    table(
        "a quoted name with a line end and a delimiter",
        '"Price\n(EUR, net)",n\n1.5,1\n2.5,2\n',
        {"Price\n(EUR, net)": [1.5, 2.5], "n": [1, 2]},
    ),
    table(
        "names that would be missing as values",
        "id,NA,null\n1,x,2\n2,y,3\n",
        {"id": [1, 2], "NA": ["x", "y"], "null": [2, 3]},
    ),
    table("names that differ in case differ", "a,A\n1,2\n3,4\n", {"a": [1, 3], "A": [2, 4]}),
    table(
        "years are names beside a name",
        "country,2019,2020\nDE,1,2\nFR,3,4\n",
        {"country": ["DE", "FR"], "2019": [1, 3], "2020": [2, 4]},
    ),
    table(
        "dates are names where the values are none (epidemic counts by day)",
        "region,1/22/20,2020-01-23\nDE,5,6\nFR,7,8\n",
        {"region": ["DE", "FR"], "1/22/20": [5, 7], "2020-01-23": [6, 8]},
    ),
    table(
        "whole numbers alone may be names",
        "0,1,2\n3,4,5\n6,7,8\n",
        {"0": [3, 6], "1": [4, 7], "2": [5, 8]},
    ),
    refusal("a name twice", "a,b,a\n1,2,3\n", "'a'"),
    refusal("a name twice once it is stripped", "age,name, age \n1,x,2\n", "'age'"),
    refusal("no name in the middle", "a,,c\n1,2,3\n", "column 2"),
    refusal("a name of blanks", "a,  ,c\n1,2,3\n", "column 2"),
    refusal("a delimiter at the end of every line", "a;b;\n1;2;\n3;4;\n", "column 3"),
    refusal(
        "R's row names have no name",
        '"","mpg","cyl"\n"Mazda RX4",21,6\n"Valiant",18.1,6\n',
        "column 1",
    ),
    refusal("pandas' index has no name", ",a,b\n0,1,x\n1,2,y\n", "column 1"),
    refusal("R's write.table has a name too few", '"mpg","cyl"\n"Valiant",18.1,6\n', "line 2"),
    refusal(
        "Iris as it lies in the archive: no header",
        "5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n",
        "header",
    ),
    refusal("no header, and decimal commas", "5,1;3;setosa\n4,9;2;virginica\n", "header"),
    refusal("no header, and a date first", "2020-01-31,12,x\n2020-02-29,15,y\n", "header"),
    refusal("no header, and a German date first", "31.01.2020;12\n29.02.2020;15\n", "header"),
]

SPELLINGS = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "\\N", "<NA>"]
"""Missing in every column."""

SIGNS = ["-", "--", "?", ".", "*", "none", "None", "nil", "missing", "unknown", "n.a.", "na"]
"""Missing among numbers and dates, values among texts."""

SHOUTED = ["NONE", "Nil", "NIL", "Missing", "UNKNOWN", "N.A.", "Na"]

MISSING = [
    column("every spelling of missing in a text", ["x", *SPELLINGS, "y"], ["x", *[None] * 11, "y"]),
    column(
        "every spelling of missing among whole numbers",
        ["1", *SPELLINGS, "2"],
        [1.0, *[None] * 11, 2.0],
    ),
    column(
        "every spelling of missing among dates",
        ["2020-01-31", *SPELLINGS],
        days("2020-01-31", *[None] * 11),
    ),
    column(
        "every spelling of missing among truth values",
        ["true", *SPELLINGS, "false"],
        [True, *[None] * 11, False],
    ),
    column(
        "quotes keep nothing from missing",
        ["x", *(f'"{each}"' for each in SPELLINGS)],
        ["x", *[None] * 11],
    ),
    column("signs for missing among decimals", ["1.5", *SIGNS, *SHOUTED], [1.5, *[None] * 19]),
    column("signs for missing among whole numbers", [*SIGNS, *SHOUTED, "3"], [*[None] * 19, 3.0]),
    column(
        "signs for missing among dates",
        ["31.12.2020", *SIGNS, *SHOUTED],
        days("2020-12-31", *[None] * 19),
    ),
    column(
        "signs for missing among timestamps",
        ["2020-01-31 08:00:00", "-", "?"],
        times("2020-01-31T08:00", None, None),
    ),
    column(
        "signs and spellings mixed among numbers",
        ["1", "NA", "-", "", "?", "2"],
        [1, None, None, None, None, 2],
    ),
    column(
        "signs for missing beside decimal commas",
        ["1.234,5", "-", ".", "7,0"],
        [1234.5, None, None, 7.0],
    ),
    text("signs are values of a text column", "Private", *SIGNS, *SHOUTED),
    text("truth values and a question mark are text", "true", "?", "false"),
    text("people are called Null, Nan, None and Na", "Null", "Nan", "None", "Na", "Nil", "Smith"),
    column("Namibia's code is missing like every NA", ["DE", "NA", "FR"], ["DE", None, "FR"]),
    table(
        "a column entirely empty",
        "a,b,c\n1,,x\n2,,y\n",
        {"a": [1, 2], "b": [None, None], "c": ["x", "y"]},
    ),
    table(
        "a column of nothing but spellings of missing",
        "a,b\n1,NA\n2,null\n3,\n",
        {"a": [1, 2, 3], "b": pd.Series([None] * 3, dtype=object)},
    ),
    column("the only missing number is in the last row", *late("7", "n/a", repeated(7.0, None))),
    column("the only sign for missing is in the last row", *late("7", "?", repeated(7.0, None))),
    column(
        "a late word makes a sign above it a value", *late("?", "Private", repeated("?", "Private"))
    ),
]

CODES = [
    text("zip codes keep their zeros", "01067", "10115", "99999"),
    text("007", "007", "8", "9"),
    column("zip codes with one missing", ["01067", "", "10115"], ["01067", None, "10115"]),
    column("a leading zero in the last row", *late("10115", "01067", repeated("10115", "01067"))),
    text("a negative number with a leading zero is a code", "-007", "12"),
    column(
        "zero itself and decimals below one are numbers", ["0", "0.5", "-0.25"], [0.0, 0.5, -0.25]
    ),
    text("phone numbers", "+491511234567", "+41446681800"),
    text("phone numbers with blanks and strokes", "030 1234567", "0171/987654", "+49 151 123 456"),
    text("numbers of credit cards in groups of four", "4111 1111 1111 1111", "5500 0000 0000 0004"),
    column(
        "identifiers of 19 digits are exact",
        ["1234567890123456789", "9223372036854775807", "-9223372036854775808"],
        [1234567890123456789, 9223372036854775807, -9223372036854775808],
    ),
    text("identifiers of 20 digits", "12345678901234567890", "12345678901234567891"),
    text("one step beyond 64 bits", "9223372036854775807", "9223372036854775808"),
    column(
        "beyond 64 bits in the last row",
        *late("7", "9223372036854775808", repeated("7", "9223372036854775808")),
    ),
    text("identifiers of 16 digits beside a decimal", "9007199254740993", "1.5"),
    column(
        "identifiers of 17 digits with one missing keep their digits",
        ["90071992547409931", "", "90071992547409933"],
        ["90071992547409931", None, "90071992547409933"],
    ),
    text("hexadecimal numbers", "0x1F", "0xFF"),
    text("Python's underscores are no thousands", "1_000", "2_500"),
    text("digits of other scripts", "\u0661\u0662", "\uff11\uff12", "\u00b2"),
    text("addresses of machines, in a file without a proven sign", "10.0.0.1", "192.168.100.200"),
    text("versions of three parts", "1.10.0", "1.9.3"),
    text("times of day", "08:30", "17:45:10"),
    text("what C writes for no number", "1.#QNAN", "-1.#IND", "2.5"),
    column("a word in the last row", *late("1.50", "A7", repeated("1.50", "A7"))),
]

NUMBERS = [
    column("a decimal in the last row", *late("1", "2.5", repeated(1.0, 2.5))),
    column("exponents", ["1e5", "2.5E-3", "-1E+2"], [100000.0, 0.0025, -100.0]),
    column("German Excel's exponents", ["1,5E+03", "2,5E-01"], [1500.0, 0.25]),
    column("SPSS leaves out the zero", [".5", "-.25", ".", "1.75"], [0.5, -0.25, None, 1.75]),
    column("numbers padded with blanks", ["  12", "7  ", " -3 "], [12, 7, -3]),
    column("decimals padded with blanks, quoted", ['"  1.5"', '"-2.5 "'], [1.5, -2.5]),
    refusal("infinite", "a,b\n1,2.5\n3,inf\n5,1.0\n", "'b'", "infinit"),
    refusal("infinite, spelled out, below zero", "a,b\n1,2\n3,-Infinity\n", "'b'", "infinit"),
    text("Inf is a text among texts", "Inf", "Cav", "inf"),
    text("percent", "12%", "7.5 %"),
    text("dollars", "$5.00", "$1,200.00"),
    text("euros behind the number", "5,00 €", "1.200,00 €"),
    text("SAP's minus behind the number", "1.234,56-", "12,00-"),
    text("accountants' brackets", "(1,234.50)", "12.00"),
    column(
        "truth values as R and Excel write them", ["TRUE", "FALSE", "TRUE"], [True, False, True]
    ),
    column("truth values in any case", ["True", "false", "tRUE"], [True, False, True]),
    column("a truth value is missing", ["true", "", "false"], [True, None, False]),
    text("yes and no", "yes", "no", "yes"),
    text("German Excel's truth", "WAHR", "FALSCH"),
    text("T and F", "T", "F", "T"),
    text("truth values and numbers", "true", "1", "false", "0"),
    column("nought and one are numbers", ["0", "1", "1"], [0, 1, 1]),
]

SIGNS_OF_DECIMALS = [
    table(
        "a German file: points group where a comma is proven",
        "Menge;Preis;Umsatz;Bestand\n10;12,5;1.234,56;1.234\n20;7,25;98,00;2.500\n",
        {
            "Menge": [10, 20],
            "Preis": [12.5, 7.25],
            "Umsatz": [1234.56, 98.0],
            "Bestand": [1234, 2500],
        },
    ),
    table(
        "an American file: commas group where a point is proven",
        'qty,price,total,stock\n1,12.5,"1,234.50","1,234"\n2,7.25,98.00,"2,500"\n',
        {"qty": [1, 2], "price": [12.5, 7.25], "total": [1234.5, 98.0], "stock": [1234, 2500]},
    ),
    table(
        "a Swiss file groups by apostrophes",
        "Betrag;Anzahl\n1'234.50;1'234\n12.25;98\n",
        {"Betrag": [1234.5, 12.25], "Anzahl": [1234, 98]},
    ),
    *(
        table(
            f"a French file groups by {blank!a}",
            f"prix;total;habitants\n12,5;1{blank}234,56;67{blank}000{blank}000\n7,25;98,00;5\n",
            {"prix": [12.5, 7.25], "total": [1234.56, 98.0], "habitants": [67_000_000, 5]},
        )
        for blank in (" ", NO_BREAK, NARROW_NO_BREAK)
    ),
    text("Indian groups", "12,34,567", "1,50,000", "98,765"),
    column("a point that nothing disproves is decimal", ["1.234", "2.345"], [1.234, 2.345]),
    text("a comma that nothing proves", "1,234", "2,345"),
    column("nought before the comma proves it", ["0,123", "1,234"], [0.123, 1.234]),
    column("below zero", ["-1.234,5", "-0,5"], [-1234.5, -0.5]),
    table(
        "two groups by comma prove the point",
        "a;b\n1,234,567;1,234\n2,000,000;5,678\n",
        {"a": [1_234_567, 2_000_000], "b": [1234, 5678]},
    ),
    table(
        "two groups by point prove the comma",
        "a;b\n1.234.567;1.234\n2.000.000;5.678\n",
        {"a": [1_234_567, 2_000_000], "b": [1234, 5678]},
    ),
    table(
        "coordinates: one column proves the comma of the other",
        "Breite;Länge\n52,5200;13,405\n48,1372;11,575\n",
        {"Breite": [52.52, 48.1372], "Länge": [13.405, 11.575]},
    ),
    table(
        "both signs in one file: what can be read two ways stays text",
        "a;b;c;d;e\n12,5;12.5;1.234;1,234;7\n1,25;1.25;2.345;2,345;8\n",
        {
            "a": [12.5, 1.25],
            "b": [12.5, 1.25],
            "c": ["1.234", "2.345"],
            "d": ["1,234", "2,345"],
            "e": [7, 8],
        },
    ),
    text("both signs in one column", "12,5", "12.5"),
    table(
        "numbers with units and German dates prove nothing",
        "kg;am;x\n12,5 kg;31.12.2020;1.234\n7,25 kg;01.02.2020;2.345\n",
        {"kg": ["12,5 kg", "7,25 kg"], "am": days("2020-12-31", "2020-02-01"), "x": [1.234, 2.345]},
    ),
    column("the proof is in the last row", *late("1.234", "1.234,5", repeated(1234.0, 1234.5))),
    table(
        "the proof is in the last row of another column",
        "a;b\n" + "1;1.234\n" * (LONG - 1) + "0,5;2.345\n",
        {"a": repeated(1.0, 0.5), "b": repeated(1234, 2345)},
    ),
]

ISO = [
    column("ISO dates", ["2020-01-31", "1999-12-01"], days("2020-01-31", "1999-12-01")),
    column("a date is missing", ["2020-01-31", "", "NULL"], days("2020-01-31", None, None)),
    column(
        "dates that nanoseconds cannot count: a battle, and SAP's and .NET's ends of time",
        ["1066-10-14", "9999-12-31", "0001-01-01"],
        days("1066-10-14", "9999-12-31", "0001-01-01"),
    ),
    text("MySQL's date of nought", "2020-01-31", "0000-00-00"),
    text("a day that February lacks", "2021-02-28", "2021-02-30"),
    text("the leap day of no leap year", "2020-02-29", "2021-02-29"),
    text("a thirteenth month", "2021-12-01", "2021-13-01"),
    column(
        "a day that February lacks, in the last row",
        *late("2021-02-28", "2021-02-30", repeated("2021-02-28", "2021-02-30")),
    ),
    text("a word among dates", "2020-01-31", "tbd"),
    column(
        "timestamps with and without fractions",
        ["2020-01-31T23:59:59", "2020-01-31T23:59:59.5", "2020-01-31T23:59:59.123456"],
        times("2020-01-31T23:59:59", "2020-01-31T23:59:59.5", "2020-01-31T23:59:59.123456"),
    ),
    column(
        "timestamps with a blank, one missing",
        ["2020-01-31 08:00:00", "", "2020-02-29 09:30:01"],
        times("2020-01-31T08:00", None, "2020-02-29T09:30:01"),
    ),
    column(
        "timestamps that are all midnight stay timestamps",
        ["2020-01-31 00:00:00", "2020-02-29 00:00:00"],
        times("2020-01-31", "2020-02-29"),
    ),
    column(
        "zones become UTC",
        ["2020-01-31T12:00:00Z", "2020-01-31T12:00:00+02:00", "2020-01-31 12:00:00.250-05:30"],
        instants("2020-01-31T12:00", "2020-01-31T10:00", "2020-01-31T17:30:00.25"),
    ),
    column(
        "PostgreSQL's zones have hours only",
        ["2020-01-31 12:00:00+00", "2020-06-30 12:00:00.5+02"],
        instants("2020-01-31T12:00", "2020-06-30T10:00:00.5"),
    ),
    text("with a zone and without", "2020-01-31T12:00:00Z", "2020-01-31T12:00:00"),
    column(
        "a zone in the last row only",
        *late(
            "2020-01-31T12:00:00",
            "2020-01-31T12:00:00Z",
            repeated("2020-01-31T12:00:00", "2020-01-31T12:00:00Z"),
        ),
    ),
    column("yyyymmdd is a number", ["20200131", "20200229"], [20200131, 20200229]),
    column("years are numbers", ["2019", "2020"], [2019, 2020]),
    text("months and quarters", "2020-01", "2020-Q1"),
]

DATES = [
    column(
        "a 25th decides for the day first",
        ["01/02/2020", "25/12/2020"],
        days("2020-02-01", "2020-12-25"),
    ),
    column(
        "a 25th decides for the month first",
        ["01/02/2020", "12/25/2020"],
        days("2020-01-02", "2020-12-25"),
    ),
    text("days or months: nobody can know", "01/02/2020", "03/04/2020"),
    text("days first and months first in one column", "25/12/2020", "12/25/2020", "01/02/2020"),
    text("a day that no month has, strokes", "25/12/2020", "31/02/2020"),
    column(
        "Excel in America pads nothing",
        ["1/31/2020", "12/1/2020"],
        days("2020-01-31", "2020-12-01"),
    ),
    column(
        "the last row decides for the day first",
        *late("01/02/2020", "25/12/2020", days(*["2020-02-01"] * (LONG - 1), "2020-12-25")),
    ),
    column(
        "the last row decides for the month first",
        *late("01/02/2020", "12/25/2020", days(*["2020-01-02"] * (LONG - 1), "2020-12-25")),
    ),
    column(
        "the last row contradicts the first",
        *late("25/12/2020", "12/25/2020", repeated("25/12/2020", "12/25/2020")),
    ),
    table(
        "each column of dates decides for itself",
        "a,b,c\n25/12/2020,12/25/2020,01/02/2020\n01/02/2020,01/02/2020,03/04/2020\n",
        {
            "a": days("2020-12-25", "2020-02-01"),
            "b": days("2020-12-25", "2020-01-02"),
            "c": ["01/02/2020", "03/04/2020"],
        },
    ),
    column(
        "points put the day first", ["01.02.2020", "03.04.2020"], days("2020-02-01", "2020-04-03")
    ),
    column(
        "dashes put the day first", ["01-02-2020", "31-12-2020"], days("2020-02-01", "2020-12-31")
    ),
    column("SAP's end of time", ["01.02.2020", "31.12.9999"], days("2020-02-01", "9999-12-31")),
    text("points never put the month first", "12.31.2020", "01.02.2020"),
    column("Japanese strokes", ["2020/01/31", "2020/12/01"], days("2020-01-31", "2020-12-01")),
    column(
        "German dates with hours and minutes",
        ["01.02.2020 08:30", "31.12.2020 23:59"],
        times("2020-02-01T08:30", "2020-12-31T23:59"),
    ),
    column(
        "British dates with seconds",
        ["01/02/2020 08:30:15", "25/12/2020 23:59:58"],
        times("2020-02-01T08:30:15", "2020-12-25T23:59:58"),
    ),
    column(
        "American dates with minutes",
        ["01/02/2020 08:30", "12/25/2020 23:59"],
        times("2020-01-02T08:30", "2020-12-25T23:59"),
    ),
    column(
        "Japanese dates with minutes",
        ["2020/01/31 08:30", "2020/12/01 00:00"],
        times("2020-01-31T08:30", "2020-12-01"),
    ),
    text("nobody knows the month of a timestamp either", "01/02/2020 08:30", "03/04/2020 09:30"),
    text("an hour that no day has", "01.02.2020 08:30", "31.12.2020 25:00"),
    column("12 Jan 2020", ["12 Jan 2020", "01 May 2021"], days("2020-01-12", "2021-05-01")),
    column(
        "12-Jan-2020, as SAS writes",
        ["12-Jan-2020", "31-Dec-2021"],
        days("2020-01-12", "2021-12-31"),
    ),
    column("Jan 12, 2020", ["Jan 12, 2020", "Dec 31, 2021"], days("2020-01-12", "2021-12-31")),
    column(
        "12 January 2020", ["12 January 2020", "31 December 2021"], days("2020-01-12", "2021-12-31")
    ),
    column(
        "January 12, 2020",
        ["January 12, 2020", "December 31, 2021"],
        days("2020-01-12", "2021-12-31"),
    ),
    table(
        "the comma of an American date is quoted",
        'when,n\n"Jan 12, 2020",1\n"Feb 29, 2020",2\n',
        {"when": days("2020-01-12", "2020-02-29"), "n": [1, 2]},
    ),
    text("months in German", "12 Mai 2020", "31 Dezember 2020"),
    text("a 30 Feb", "28 Feb 2020", "30 Feb 2020"),
    text("Oracle's years of two digits", "12-JAN-20", "31-DEC-21"),
    text("years of two digits behind points", "31.12.20", "01.02.21"),
    text("years of two digits behind strokes", "12/31/20", "01/02/21"),
]


JSON_LINES = [
    table(
        "JSON objects with the types of JSON",
        json_lines(
            {"n": 1, "x": 1.5, "t": "a", "b": True},
            {"n": 2, "x": 2, "t": "ü\n\"'", "b": False},
        ),
        {"n": [1, 2], "x": [1.5, 2.0], "t": ["a", "ü\n\"'"], "b": [True, False]},
        file="a.jsonl",
    ),
    table(
        "keys that lack are missing, keys that come late are columns",
        json_lines({"a": 1, "b": True}, {"b": None, "c": "x"}, {"d": 2.5, "a": 3}),
        {
            "a": [1, None, 3],
            "b": pd.Series([True, None, None], dtype=object),
            "c": [None, "x", None],
            "d": [None, None, 2.5],
        },
        file="a.jsonl",
    ),
    table(
        "a key that only the last object has",
        json_lines({"a": 1}) * (LONG - 1) + json_lines({"a": 2, "b": "x"}),
        {"a": repeated(1, 2), "b": repeated(None, "x")},
        file="a.jsonl",
    ),
    table(
        "numbers and a text in one key are texts",
        json_lines({"a": 1}, {"a": 2.5}, {"a": "x"}, {"a": None}),
        {"a": ["1", "2.5", "x", None]},
        file="a.jsonl",
    ),
    table(
        "a text in the last object",
        json_lines({"a": 1}) * (LONG - 1) + json_lines({"a": "x"}),
        {"a": repeated("1", "x")},
        file="a.jsonl",
    ),
    table(
        "quoted digits and quoted truth stay texts",
        json_lines({"a": "1", "b": "007", "c": "true"}, {"a": "2", "b": "8", "c": "false"}),
        {"a": ["1", "2"], "b": ["007", "8"], "c": ["true", "false"]},
        file="a.jsonl",
    ),
    table(
        "ISO dates, timestamps and zones in strings",
        json_lines(
            {"d": "2020-01-31", "t": "2020-01-31T08:00:00", "z": "2020-01-31T08:00:00Z"},
            {"d": None, "t": "2020-02-29T09:00:00.5", "z": "2020-01-31T08:00:00+02:00"},
        ),
        {
            "d": days("2020-01-31", None),
            "t": times("2020-01-31T08:00", "2020-02-29T09:00:00.5"),
            "z": instants("2020-01-31T08:00", "2020-01-31T06:00"),
        },
        file="a.jsonl",
    ),
    table(
        "integers that no float holds are exact",
        json_lines({"a": 9007199254740993}, {"a": 9223372036854775807}),
        {"a": [9007199254740993, 9223372036854775807]},
        file="a.jsonl",
    ),
    table(
        "integers beyond 64 bits are texts",
        json_lines({"a": 1}, {"a": 18446744073709551616}),
        {"a": ["1", "18446744073709551616"]},
        file="a.jsonl",
    ),
    table(
        "a mark, Windows line ends, blank lines, and a line separator within a string",
        '\ufeff{"a": "one\u2028two", "n": 1}\r\n\r\n{"a": "\\ud83c\\udf89", "n": 2}',
        {"a": ["one\u2028two", "🎉"], "n": [1, 2]},
        file="a.jsonl",
    ),
    refusal(
        "an object in an object",
        json_lines({"a": 1}, {"a": 2, "b": {"c": 1}}),
        "line 2",
        "'b'",
        file="a.jsonl",
    ),
    refusal(
        "a list in an object",
        json_lines({"a": 1}, {"a": 2}, {"a": [1, 2]}),
        "line 3",
        "'a'",
        file="a.jsonl",
    ),
    refusal(
        "an object that breaks off",
        json_lines({"a": 1}, {"a": 2}) + '{"a": \n',
        "line 3",
        file="a.jsonl",
    ),
    refusal("broken behind a blank line", '{"a": 1}\n\n{a: 2}\n', "line 3", file="a.jsonl"),
    refusal("two objects in a line", '{"a": 1}\n{"a": 2}{"a": 3}\n', "line 2", file="a.jsonl"),
    refusal("a list on a line", '{"a": 1}\n[1, 2]\n', "line 2", file="a.jsonl"),
    refusal(
        "a pretty JSON document",
        json.dumps([{"a": 1}, {"a": 2}], indent=2),
        "line 1",
        file="a.jsonl",
    ),
    refusal("an empty .jsonl", b"", "is empty", file="a.jsonl"),
]

WHOLE_GZIP = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(10_000)))
DAMAGED_GZIP = WHOLE_GZIP[:-8] + bytes(byte ^ 0xFF for byte in WHOLE_GZIP[-8:])

PACKED = [
    table("a gzip", gzip.compress(SMALL.encode()), SMALL_FRAME, file="a.csv.gz"),
    table(
        "Windows-1252 in a gzip",
        gzip.compress(GERMAN.encode("cp1252")),
        GERMAN_FRAME,
        file="a.csv.gz",
    ),
    table(
        "a mark in a gzip",
        gzip.compress(b"\xef\xbb\xbf" + SMALL.encode()),
        SMALL_FRAME,
        file="a.csv.gz",
    ),
    table(
        "gzips one behind the other are one file",
        gzip.compress(b"name,age\nann,1\nbo") + gzip.compress(b"b,2\n"),
        SMALL_FRAME,
        file="a.csv.gz",
    ),
    refusal("half a gzip", WHOLE_GZIP[: len(WHOLE_GZIP) // 2], "gzip", file="a.csv.gz"),
    refusal("a gzip without its last byte", WHOLE_GZIP[:-1], "gzip", file="a.csv.gz"),
    refusal("a gzip whose sum is wrong", DAMAGED_GZIP, "gzip", file="a.csv.gz"),
    refusal("a gzip of rubbish", b"\x1f\x8bjunk", "gzip", file="a.csv.gz"),
    refusal("a short row in a gzip", gzip.compress(b"a,b\n1,2\n3\n"), "line 3", file="a.csv.gz"),
    table(
        "a zip of a Mac: folders, hidden files and __MACOSX beside the table",
        archive(
            {
                "data/": "",
                "data/.DS_Store": b"\0\0\0\1Bud1",
                "data/Umsätze 2021.csv": GERMAN.encode("cp1252"),
                "__MACOSX/data/._Umsätze 2021.csv": b"\0\5\x16\7",
            }
        ),
        GERMAN_FRAME,
        file="a.zip",
    ),
    table(
        "JSON lines in a zip",
        archive({"a.jsonl": json_lines({"a": 1}, {"a": 2})}),
        {"a": [1, 2]},
        file="a.zip",
    ),
    table("tabs in a zip", archive({"a.tsv": SMALL.replace(",", "\t")}), SMALL_FRAME, file="a.zip"),
    table(
        "Parquet in a zip",
        archive({"a.parquet": parquet(pa.table(SMALL_FRAME))}),
        SMALL_FRAME,
        file="a.zip",
    ),
    table(
        "a table that packs a thousandfold is no bomb while it is small",
        archive({"a.csv": "a,b\n" + "0,0\n" * (LONG - 1) + "1,0\n"}),
        {"a": repeated(0, 1), "b": [0] * LONG},
        file="a.zip",
    ),
    refusal("a zip without a table", archive({"manual.pdf": b"%PDF-1.7"}), file="a.zip"),
    refusal("a zip without a member", archive({}), file="a.zip"),
    refusal(
        "a zip of two tables",
        archive({"january.csv": SMALL, "x/february.csv": SMALL}),
        "january.csv",
        "february.csv",
        file="a.zip",
    ),
    refusal(
        "a zip that climbs", archive({"../../evil.csv": SMALL}), "../../evil.csv", file="a.zip"
    ),
    refusal(
        "a zip that climbs on Windows", archive({"..\\evil.csv": SMALL}), "evil.csv", file="a.zip"
    ),
    refusal(
        "a zip with an absolute path",
        archive({"/etc/evil.csv": SMALL}),
        "/etc/evil.csv",
        file="a.zip",
    ),
    refusal(
        "a zip with a password", encrypted(archive({"a.csv": SMALL})), "encrypted", file="a.zip"
    ),
    refusal("a zip bomb", bomb(300), "unpacks", file="a.zip"),
    refusal("half a zip", archive({"a.csv": SMALL})[:60], file="a.zip"),
    refusal("text that is called a zip", SMALL, file="a.zip"),
    refusal("a short row in a zip", archive({"a.csv": "a,b\n1,2\n3\n"}), "line 3", file="a.zip"),
]

TYPED = pa.table(
    {
        "n": pa.array([1, None, 3]),
        "i": pa.array([2**53 + 1, 2, 3]),
        "b": pa.array([True, None, False]),
        "t": pa.array(["007", "?", None]),
        "d": pa.array([date(2020, 1, 31), None, date(9999, 12, 31)]),
        "u": pa.array([datetime(2020, 1, 31, 8), None, None], pa.timestamp("us")),
        "z": pa.array([datetime(2020, 1, 31, 8), None, None], pa.timestamp("us", "UTC")),
        "group": pa.array(["a", "b", "a"]).dictionary_encode(),
        "price": pa.array([Decimal("1.50"), Decimal("2.25"), None]),
    }
)
TYPED_FRAME = {
    "n": [1, None, 3],
    "i": [2**53 + 1, 2, 3],
    "b": [True, None, False],
    "t": ["007", "?", None],
    "d": days("2020-01-31", None, "9999-12-31"),
    "u": times("2020-01-31T08:00", None, None),
    "z": instants("2020-01-31T08:00", None, None),
    "group": ["a", "b", "a"],
    "price": [1.5, 2.25, None],
}
TWICE = pa.Table.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"])
NESTED = pa.table({"a": [1, 2], "points": [[1], [2, 3]]})

TYPED_FILES = [
    table("Parquet's types", parquet(TYPED), TYPED_FRAME, file="a.parquet"),
    table("Feather's types", feathered(TYPED), TYPED_FRAME, file="a.feather"),
    table(
        "an index that pandas noted in Parquet is a column",
        parquet(pa.Table.from_pandas(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).set_index("b"))),
        {"a": [1, 2], "b": ["x", "y"]},
        file="a.parquet",
    ),
    refusal("lists in Parquet", parquet(NESTED), "'points'", file="a.parquet"),
    refusal("lists in Feather", feathered(NESTED), "'points'", file="a.feather"),
    refusal("a name twice in Parquet", parquet(TWICE), "'a'", file="a.parquet"),
    refusal("Parquet without rows", parquet(TYPED.slice(0, 0)), "no rows", file="a.parquet"),
    refusal("half a Parquet file", parquet(TYPED)[:300], file="a.parquet"),
    refusal("half a Feather file", feathered(TYPED)[:300], file="a.feather"),
    refusal("an empty Parquet file", b"", "is empty", file="a.parquet"),
    table(
        "an Excel workbook",
        workbook(
            ["name", " n ", "x", "b", "day", "zip"],
            ["Ann & <Bob>", 1, 1.5, True, date(2020, 1, 31), "01067"],
            ["=cmd()", 2, None, False, date(2021, 12, 1), "10115"],
        ),
        {
            "name": ["Ann & <Bob>", "=cmd()"],
            "n": [1, 2],
            "x": [1.5, None],
            "b": [True, False],
            "day": days("2020-01-31", "2021-12-01"),
            "zip": ["01067", "10115"],
        },
        file="a.xlsx",
    ),
    refusal("a name twice in Excel", workbook(["a", "a "], [1, 2]), "'a'", file="a.xlsx"),
    refusal("no name in Excel", workbook(["a", None, "c"], [1, 2, 3]), "column 2", file="a.xlsx"),
    refusal("Excel without rows", workbook(["a", "b"]), "no rows", file="a.xlsx"),
    refusal("a workbook that is called .csv", workbook(["a"], [1], [2]), file="a.csv"),
    refusal("a CSV that is called .xlsx", SMALL, file="a.xlsx"),
]

CORPUS: list[DirtyFile] = [
    *ENCODINGS,
    *DELIMITERS,
    *SHAPES,
    *HEADERS,
    *MISSING,
    *CODES,
    *NUMBERS,
    *SIGNS_OF_DECIMALS,
    *ISO,
    *DATES,
    *JSON_LINES,
    *PACKED,
    *TYPED_FILES,
]
