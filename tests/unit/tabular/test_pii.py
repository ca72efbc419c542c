from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.tabular import pii
from tasks.tabular.pii import Finding, PersonalDataReport, find_in_column
from tasks.tabular.reading import convert
from tasks.tabular.sampling import even_rows
from tests.benchmarks.planted import CLEAN, planted

if TYPE_CHECKING:
    from pathlib import Path

CARDS = [4111111111111111, 5555555555554444, 378282246310005]  # for trials: they pass Luhn's test
NHS_NUMBERS = [9434765919, 4010232137, 9876543210]  # they pass the NHS's test modulo 11

REMARK = "The parcel came three days late, and the box was open. "


def found(name: str, values: object) -> str | None:
    """The kind that is found in a column of these values."""
    finding = find_in_column(name, pd.Series(values))
    return finding and finding.kind


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> PersonalDataReport:
    """What is found where personal data is planted, among columns that only look like it."""
    path = tmp_path_factory.mktemp("planted") / "planted.parquet"
    planted(np.random.default_rng(7), 200).to_parquet(path)
    return pii.find(path)


@pytest.fixture
def language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed spaCy model; it knows two people."""
    name = "model_of_two_people"
    language = spacy.blank("en")
    language.add_pipe("entity_ruler").add_patterns(
        [{"label": "PERSON", "pattern": each} for each in ("Emma Clarke", "Jürgen Groß")]
    )
    language.to_disk(tmp_path / name)
    (tmp_path / name / "__init__.py").write_text(
        "import pathlib, spacy\n"
        "def load(**settings):\n"
        "    return spacy.load(pathlib.Path(__file__).parent, **settings)\n"
    )
    (tmp_path / f"{name}-1.0.dist-info").mkdir()
    (tmp_path / f"{name}-1.0.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A table with two names in five texts."""
    path = tmp_path / "notes.parquet"
    texts = ["Emma Clarke called", "too late", None, "Jürgen Groß wrote", "very good", "ok"]
    pd.DataFrame({"note": texts, "stars": range(6)}).to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("column", "kind", "by"),
    [
        ("email", "email", "name and values"),
        ("col_07", "email", "values"),
        ("field_a", "phone", "values"),
        ("field_b", "credit_card", "values"),
        ("attribute_4", "iban", "values"),
        ("field_c", "ip_address", "values"),
        ("x14", "uk_nhs", "values"),
        ("attribute_8", "de_tax_id", "values"),
        ("first_name", "person_name", "name"),
        ("date_of_birth", "date_of_birth", "name"),
        ("home_lat", "location", "name"),
        ("street_address", "postal_address", "name"),
        ("comment", "email", "texts"),
    ],
)
def test_planted_data_is_found_and_counts(
    report: PersonalDataReport, column: str, kind: str, by: str
) -> None:
    [finding] = [each for each in report.findings if each.column == column]

    assert (finding.kind, finding.by) == (kind, by)
    assert column in report.unmasked


def test_what_only_looks_like_personal_data_is_not_found(report: PersonalDataReport) -> None:
    assert {each.column for each in report.findings}.isdisjoint(CLEAN)


def test_the_surest_findings_come_first(report: PersonalDataReport) -> None:
    confidences = [each.confidence for each in report.findings]

    assert confidences == sorted(confidences, reverse=True) != sorted(confidences)
    assert confidences[0] < 1


def test_findings_survive_json(report: PersonalDataReport) -> None:
    kept = json.dumps(report.to_json(), allow_nan=False)

    assert PersonalDataReport.from_json(json.loads(kept)) == report


def test_only_sure_findings_that_nobody_masked_count() -> None:
    sure = Finding("a", "email", 0.5, 1.0, "values", "hash")
    others = (replace(sure, column="b", masked="hash"), replace(sure, column="c", confidence=0.49))

    assert PersonalDataReport((sure, *others), 3, 9, names_looked_for=False).unmasked == ("a",)


def test_a_masked_column_is_known_as_such(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pd.DataFrame({"born_on": ["1985", "1999"], "email": ["ann@example.com"] * 2}).to_parquet(path)

    report = pii.find(path, masked={"born_on": "generalise"})

    masked = {each.column: each.masked for each in report.findings}
    assert masked == {"born_on": "generalise", "email": None}


@pytest.mark.parametrize(("numbers", "kind"), [(CARDS, "credit_card"), (NHS_NUMBERS, "uk_nhs")])
@pytest.mark.parametrize("kept", ["int64", "str", "float64 with gaps", "Int64 with gaps"])
def test_numbers_of_persons_are_found_however_they_are_kept(
    numbers: list[int], kind: str, kept: str
) -> None:
    dtype, *gaps = kept.split(" with ")

    assert found("x", pd.Series(numbers + [None] * len(gaps), dtype=dtype)) == kind


def test_no_decimal_is_a_number_of_a_person(rng: np.random.Generator) -> None:
    amounts = (rng.random(300) * 1e8).round(2)

    assert found("x", amounts) is None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("email_opt_in", ["yes", "no"]),
        ("email", ["yes", "no"]),
        ("last_login", [True, False]),
        ("phone_brand", ["Apple", "Nokia"]),
        ("product_name", ["Oak Desk", "Lamp XL"]),
        ("wine_age", [3, 12]),
        ("ip_rating", ["IP44", "IP67"]),
        ("first_name", ["17", "18"]),
        ("station_lat", [52.5163, 48.8584]),
    ],
)
def test_a_telling_name_needs_plausible_values(name: str, values: list[object]) -> None:
    assert found(name, values) is None


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("first_name", ["Emma", "José María"], "person_name"),
        ("date_of_birth", ["1985-03-02", "1999-12-31"], "date_of_birth"),
        ("DOB", pd.to_datetime(["1985-03-02", None]), "date_of_birth"),
        ("homeLat", [52.5163, 48.8584], "location"),
        ("zip_code", [10115, 80331], "postcode"),
        ("customer_phone", [2125550123, 2125550188], "phone"),
    ],
)
def test_a_telling_name_is_believed(name: str, values: list[object], kind: str) -> None:
    assert found(name, values) == kind


@pytest.mark.parametrize(("writers", "kind"), [(2, "email"), (1, None)])
def test_rare_data_inside_long_texts_is_found_but_not_a_single_one(
    writers: int, kind: str | None
) -> None:
    texts = [REMARK * 20] * (1_000 - writers)
    texts[500:500] = [f"{REMARK * 20} Write to p{each}@example.com." for each in range(writers)]

    finding = find_in_column("remark", pd.Series(texts))

    assert (finding and finding.kind) == kind
    assert finding is None or (finding.by, finding.share) == ("texts", writers / 1_000)


@pytest.mark.parametrize(
    ("value", "by"),
    [
        ("Write to ann@example.com or ask at the desk.", "texts"),
        ("<ann@example.com>", "values"),
        ("de89370400440532013000", "values"),
    ],
)
def test_a_value_with_other_words_around_it_is_a_text(value: str, by: str) -> None:
    finding = find_in_column("x", pd.Series([value] * 3))

    assert (finding.by, finding.policy) == (by, "redact" if by == "texts" else "hash")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(pd.Series([], dtype="object"), id="no rows"),
        pytest.param(pd.Series([None] * 5, dtype="object"), id="missing texts"),
        pytest.param(pd.Series([np.nan] * 5), id="missing numbers"),
        pytest.param(pd.Series(["", " "]), id="blank"),
        pytest.param(pd.Series(["same"] * 5), id="constant"),
        pytest.param(pd.Series([True, False]), id="truth"),
        pytest.param(pd.Series([np.inf, -np.inf, 1e300]), id="beyond all numbers"),
        pytest.param(pd.Series(pd.date_range("2024", periods=50, tz="UTC")), id="times"),
    ],
)
@pytest.mark.parametrize("name", ["x", "email"])
def test_columns_without_personal_data_have_none(name: str, values: pd.Series) -> None:
    assert found(name, values) is None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("letters", ["1", "@", " ", "a", "a.", "@ ", "1 2-", "AB12 "])
def test_a_hostile_text_takes_seconds_not_hours(letters: str) -> None:
    text = letters * (10**6 // len(letters))

    assert found("x", [text]) is None


@settings(max_examples=30)
@given(st.text(), st.lists(st.text() | st.none(), max_size=5))
def test_any_texts_have_at_most_one_finding_that_is_never_certain(
    name: str, values: list[str | None]
) -> None:
    finding = find_in_column(name, pd.Series(values, dtype="object"))

    assert finding is None or (0 < finding.confidence < 1 and 0 < finding.share <= 1)


def test_names_in_texts_are_found_by_an_installed_language_model(
    notes: Path, language_model: str
) -> None:
    report = pii.find(notes, language_model=language_model)

    assert report.names_looked_for
    [finding] = report.findings
    assert (finding.kind, finding.by, finding.share) == ("person_name", "texts", 2 / 5)


@pytest.mark.parametrize("model", [None, "a_model_that_nobody_installed"])
def test_without_a_language_model_the_report_says_so(notes: Path, model: str | None) -> None:
    report = pii.find(notes, language_model=model)

    assert (report.findings, report.names_looked_for) == ((), False)


@pytest.mark.parametrize(
    "name",
    ["adult.csv.gz", "credit_g.csv", "diamonds.csv", "dry_bean.csv", "creditcard_fraud_10k.csv.gz"],
)
def test_real_data_about_nobody_has_no_findings(
    data_folder: Path, tmp_path: Path, name: str
) -> None:
    reading = convert(data_folder / name, tmp_path / "real.parquet")

    report = pii.find(tmp_path / "real.parquet")

    assert (report.findings, report.sampled) == ((), min(reading.rows, 10_000))


@given(st.integers(0, 200), st.integers(1, 50), st.integers(1, 60))
def test_a_sample_is_spread_evenly_and_in_order(total: int, group: int, rows: int) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"row": range(total)}), file, row_group_size=group)

    sample = even_rows(pq.ParquetFile(file), rows)["row"].tolist()

    assert len(sample) == min(total, rows)
    assert sample[:1] == [0][:total]
    gaps = np.diff(sample)
    assert not gaps.size or 1 <= gaps.min() <= gaps.max() <= gaps.min() + 1
    assert not gaps.size or sample[-1] == total - 1


def test_a_sample_spans_all_batches_of_a_long_file() -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"row": range(200_001)}), file)

    sample = even_rows(pq.ParquetFile(file), 5)

    assert sample["row"].tolist() == [0, 50_000, 100_000, 150_000, 200_000]


@pytest.mark.parametrize("name", ["time_span", "battery_cell", "fax", "ip", "ssn", "license"])
def test_decimals_are_not_believed_by_name(name: str, rng: np.random.Generator) -> None:
    assert find_in_column(name, pd.Series(rng.random(500))) is None


def test_an_address_may_have_several_lines() -> None:
    values = pd.Series([f"{n} Oak Street\nFlat 3\nLeeds LS1" for n in range(50)])

    assert find_in_column("address", values).kind == "postal_address"


@pytest.mark.parametrize("model", ["json", "nope.x", "en_core_web_none"])
def test_a_language_model_that_is_none_is_not_used(model: str, stored) -> None:
    path, _ = stored(pd.DataFrame({"a": ["x", "y"]}))

    assert not pii.find(path, language_model=model).names_looked_for
