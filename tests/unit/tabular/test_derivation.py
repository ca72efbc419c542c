from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import TargetEncoder

from tasks.tabular import derivation, splitting
from tasks.tabular.derivation import (
    PART,
    PREVIEW_ROWS,
    PREVIEW_SAMPLE,
    Derived,
    augmented,
    features_of,
    policy_for,
    preview,
    write,
)
from tasks.tabular.errors import NoRowsLeftError, ResamplingError, SpecError, SplitError, StepError
from tasks.tabular.problem import Problem
from tasks.tabular.resampling import Balancing, Method
from tasks.tabular.spec import PipelineSpec
from tasks.tabular.splitting import HOLDOUT, SYNTHETIC, TRAINING, VALIDATION, SplitPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasks.tabular.schema import Schema

    Stored = Callable[[pd.DataFrame], tuple[Path, Schema]]

N = 300
BINARY = Problem("binary", "y", ("rare", "usual"))

NUMBERS_ONLY = ("borderline_smote", "adasyn")
ADDING = [
    each
    for each in get_args(Method)
    if each not in ("none", "class_weights", "threshold", "random_under", "vae")
]
BY_TARGET = PipelineSpec.parse(
    {"steps": [{"step": "target_encode", "columns": ["town"]}], "remainder": "drop"}
)


@pytest.fixture
def frame(rng: np.random.Generator) -> pd.DataFrame:
    """Three hundred rows of all types, of which one in five is of a rare class."""
    y = np.where(np.arange(N) % 5 == 0, "rare", "usual")
    days = pd.to_timedelta(rng.integers(0, 10**6, N), unit="min")
    return pd.DataFrame(
        {
            "x": rng.normal(10, 3, N) + 3 * (y == "rare"),
            "z": rng.normal(size=N).astype(np.float32) - (y == "rare"),
            "count": rng.poisson(3, N),
            "small": rng.integers(0, 100, N).astype(np.int16),
            "member": rng.random(N) < 0.4,
            "job": rng.choice(["cook", "nurse", "smith"], N),
            "town": [f"town {each}" for each in rng.integers(0, 60, N)],
            "naive": pd.Timestamp("2020-01-01") + days,
            "zoned": pd.Timestamp("2020-01-01", tz="Europe/Berlin") + days,
            "y": y,
        }
    )


@pytest.fixture
def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["x", "z", "count", "small", "y"]]


def spec(*steps: dict[str, Any], remainder: str = "default") -> PipelineSpec:
    return PipelineSpec.parse({"steps": list(steps), "remainder": remainder})


def part(made: Derived, *names: str) -> pd.DataFrame:
    return made.frame[made.frame[PART].isin(names)]


def read(path: Path) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(path).to_pandas(date_as_object=False)
    return frame


def balanced(frame: pd.DataFrame, stored: Stored, method: Method, ratio: float = 1.0) -> Derived:
    _, schema = stored(frame)
    return augmented(frame, schema, BINARY, Balancing(method=method, ratio=ratio), seed=1)


def test_the_first_rows_are_shown(frame: pd.DataFrame, stored: Stored) -> None:
    path, schema = stored(frame)

    found = preview(path, schema, None, "y")

    assert found.rows.shape[0] == PREVIEW_ROWS
    assert found.sampled == N
    assert not {"y", PART} & set(found.rows.columns)


def test_steps_are_fitted_on_a_sample(rng: np.random.Generator, stored: Stored) -> None:
    rows = 3 * PREVIEW_SAMPLE
    path, schema = stored(pd.DataFrame({"x": rng.normal(size=rows), "k": np.arange(rows)}))

    found = preview(path, schema, None)

    assert found.sampled == PREVIEW_SAMPLE
    assert found.rows["k"].iloc[0] == pytest.approx(-np.sqrt(3), rel=1e-2)


def test_what_the_steps_did_is_told(frame: pd.DataFrame, stored: Stored) -> None:
    path, schema = stored(frame)

    found = preview(path, schema, spec({"step": "clip", "columns": ["x"]}), "y")

    clip = next(each for each in found.steps.steps if each.name == "clip")
    assert clip.takes == ("x",)
    assert set(clip.learned) == {"lower limit", "upper limit"}


def test_left_out_rows_are_not_shown(frame: pd.DataFrame, stored: Stored) -> None:
    path, schema = stored(frame.assign(x=frame["x"].mask(frame.index < 10)))

    found = preview(path, schema, spec({"step": "drop_nulls"}), "y")

    assert found.sampled == N - 10


def test_rows_without_a_target_are_not_shown(frame: pd.DataFrame, stored: Stored) -> None:
    path, schema = stored(frame.assign(y=frame["y"].mask(frame.index < 10)))

    found = preview(path, schema, BY_TARGET, "y")

    assert found.sampled == N - 10


def test_a_step_that_needs_a_target_says_so(frame: pd.DataFrame, stored: Stored) -> None:
    path, schema = stored(frame)

    with pytest.raises(StepError, match="needs a target"):
        preview(path, schema, BY_TARGET)


def test_a_table_with_parts_is_shown_without_them(frame: pd.DataFrame, stored: Stored) -> None:
    path, schema = stored(frame.assign(**{PART: np.where(frame.index % 2, TRAINING, HOLDOUT)}))

    found = preview(path, schema, None, "y")

    assert [each for each in found.rows.columns if PART in each] == []


def test_every_row_is_in_a_part(frame: pd.DataFrame, stored: Stored) -> None:
    _, schema = stored(frame)

    made = features_of(frame, schema, None, BINARY, seed=1)

    shares = made.frame[PART].value_counts() / N
    holdout = splitting.HOLDOUT_SHARE
    assert shares[HOLDOUT] == pytest.approx(holdout, abs=0.01)
    assert shares[VALIDATION] == pytest.approx(holdout * (1 - holdout), abs=0.01)
    assert shares.sum() == 1.0
    assert made.frame["y"].tolist() == frame["y"].tolist()


def test_all_features_are_numbers_with_their_names(frame: pd.DataFrame, stored: Stored) -> None:
    _, schema = stored(frame)

    made = features_of(frame, schema, None, BINARY, seed=1)

    features = made.frame.drop(columns=["y", PART])
    assert features.columns.tolist() == made.pipeline.get_feature_names_out().tolist()
    assert set(features.dtypes) == {np.dtype(float)}
    assert np.isfinite(features.to_numpy()).all()


def test_scales_are_those_of_the_training_rows(frame: pd.DataFrame, stored: Stored) -> None:
    _, schema = stored(frame)

    made = features_of(frame, schema, None, BINARY, seed=1)

    training = frame["x"][made.frame[PART] == TRAINING]
    expected = (frame["x"] - training.mean()) / training.std(ddof=0)
    assert part(made, TRAINING)["x"].mean() == pytest.approx(0.0, abs=1e-9)
    assert part(made, TRAINING)["x"].std(ddof=0) == pytest.approx(1.0)
    np.testing.assert_allclose(made.frame["x"], expected)


def test_rows_held_out_teach_nothing(
    frame: pd.DataFrame, stored: Stored, rng: np.random.Generator
) -> None:
    _, schema = stored(frame)
    whole = spec({"step": "target_encode", "columns": ["town"]})
    made = features_of(frame, schema, whole, BINARY, seed=1)
    held_out = (made.frame[PART] != TRAINING).to_numpy()
    changed = frame.copy()
    changed.loc[held_out, "x"] = 1e6
    changed.loc[held_out, "town"] = rng.choice(frame["town"], held_out.sum())
    changed.loc[held_out, "job"] = "astronaut"

    other = features_of(changed, schema, whole, BINARY, seed=1)

    pd.testing.assert_frame_equal(part(made, TRAINING), part(other, TRAINING))


def test_encoding_by_the_target_is_cross_fitted(frame: pd.DataFrame, stored: Stored) -> None:
    _, schema = stored(frame)
    folds = StratifiedKFold(5, shuffle=True, random_state=1)
    encoder = TargetEncoder(target_type="binary", cv=folds)

    made = features_of(frame, schema, BY_TARGET, BINARY, seed=1)

    training = made.frame[PART] == TRAINING
    towns, y = frame[["town"]], frame["y"]
    fitted = encoder.fit_transform(towns[training], y[training])
    np.testing.assert_allclose(made.frame["town"][training], fitted.ravel())
    np.testing.assert_allclose(
        made.frame["town"][~training], encoder.transform(towns[~training]).ravel()
    )


def test_repeated_rows_do_not_give_away_their_target(
    stored: Stored, rng: np.random.Generator
) -> None:
    rows = 2_000
    noise = pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "town": [f"town {each}" for each in rng.integers(0, 400, rows)],
            "y": np.where(rng.random(rows) < 0.15, "rare", "usual"),
        }
    )
    twice = balanced(noise, stored, "random_over").frame
    _, schema = stored(twice)

    made = features_of(twice, schema, BY_TARGET, BINARY, seed=1)

    training, repeated = part(made, TRAINING), part(made, SYNTHETIC)
    rare = training[training["y"] == "rare"]["town"]
    error = training["town"].std() / np.sqrt(len(rare))
    assert repeated["town"].mean() == pytest.approx(rare.mean(), abs=3 * error)


def test_left_out_rows_are_listed(frame: pd.DataFrame, stored: Stored) -> None:
    gaps = frame.assign(x=frame["x"].mask(frame.index % 50 == 7))
    _, schema = stored(gaps)

    made = features_of(gaps, schema, spec({"step": "drop_nulls"}), BINARY, seed=1)

    parts = features_of(frame, schema, None, BINARY, seed=1).frame[PART]
    assert made.dropped == tuple(row for row in range(7, N, 50) if parts[row] == TRAINING)
    assert made.frame["y"].tolist() == gaps["y"].drop(index=list(made.dropped)).tolist()
    assert made.frame.index.equals(pd.RangeIndex(N - len(made.dropped)))


def test_left_out_rows_are_listed_by_their_place_in_the_table(
    frame: pd.DataFrame, stored: Stored
) -> None:
    gaps = frame.assign(x=frame["x"].mask(frame.index > 100), y=frame["y"].mask(frame.index < 20))
    _, schema = stored(gaps)

    made = features_of(gaps, schema, spec({"step": "drop_nulls"}), BINARY, seed=1)

    assert min(made.dropped) > 100
    assert gaps["x"].isna()[list(made.dropped)].all()
    assert len(made.frame) == N - 20 - len(made.dropped)


def test_filters_may_look_at_columns_that_are_no_features(
    frame: pd.DataFrame, stored: Stored
) -> None:
    known = frame.assign(batch=np.where(frame.index < 5, None, "one"))
    _, schema = stored(known)

    made = features_of(
        known, schema, spec({"step": "drop_nulls", "columns": ["batch"]}), BINARY, seed=1
    )

    assert 0 < len(made.dropped) <= 5
    assert set(made.dropped) <= {0, 1, 2, 3, 4}


def test_filters_that_leave_nothing_are_refused(frame: pd.DataFrame, stored: Stored) -> None:
    empty = frame.assign(gap=np.where(frame.index < N, np.nan, 1.0))
    _, schema = stored(empty)

    with pytest.raises(NoRowsLeftError, match="leave 0 of"):
        features_of(empty, schema, spec({"step": "drop_nulls", "columns": ["gap"]}), BINARY, seed=1)


def test_too_many_features_are_refused(
    frame: pd.DataFrame, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, schema = stored(frame)
    usual = features_of(frame, schema, None, BINARY, seed=1)
    features = usual.frame.shape[1] - 2
    monkeypatch.setattr(derivation, "MAX_FEATURES", features - 1)

    with pytest.raises(StepError, match=f"{features} features, {features - 1} at most"):
        features_of(frame, schema, None, BINARY, seed=1)


def test_a_target_is_not_needed(frame: pd.DataFrame, stored: Stored) -> None:
    _, schema = stored(frame)
    share = round(splitting.HOLDOUT_SHARE * N)

    made = features_of(frame, schema, None, None, seed=1)

    assert Counter(made.frame[PART]) == {
        TRAINING: N - share - (N - share) // 5,
        HOLDOUT: share,
        VALIDATION: (N - share) // 5,
    }
    assert part(made, TRAINING)["x"].mean() == pytest.approx(0.0, abs=1e-9)
    assert {"y=rare", "y=usual"} <= set(made.frame.columns)


def test_the_target_is_no_feature(frame: pd.DataFrame, stored: Stored) -> None:
    _, schema = stored(frame)
    of_target = spec({"step": "one_hot", "columns": ["y"]})

    with pytest.raises(SpecError, match="'y' is the target"):
        features_of(frame, schema, of_target, BINARY, seed=1)


def test_no_feature_takes_the_targets_name(frame: pd.DataFrame, stored: Stored) -> None:
    _, schema = stored(frame)
    named = spec({"step": "expression", "formulas": {"y": "x * 2"}}, remainder="drop")

    with pytest.raises((SpecError, StepError), match="'y'"):
        features_of(frame, schema, named, BINARY, seed=1)


def test_parts_stay_as_they_are(frame: pd.DataFrame, stored: Stored) -> None:
    parts = np.resize([TRAINING, TRAINING, HOLDOUT, VALIDATION, SYNTHETIC], N)
    table = frame.assign(**{PART: parts})
    _, schema = stored(table)

    made = features_of(table, schema, None, BINARY, seed=1)

    assert made.frame[PART].tolist() == parts.tolist()
    assert part(made, TRAINING)["x"].mean() == pytest.approx(0.0, abs=1e-9)


def test_the_same_seed_gives_the_same_table(frame: pd.DataFrame, stored: Stored) -> None:
    _, schema = stored(frame)

    first, second, other = (
        features_of(frame, schema, None, BINARY, seed=seed).frame for seed in (1, 1, 2)
    )

    pd.testing.assert_frame_equal(first, second)
    assert first[PART].tolist() != other[PART].tolist()


def test_a_quantity_is_kept_beside_its_features(frame: pd.DataFrame, stored: Stored) -> None:
    _, schema = stored(frame)

    made = features_of(frame, schema, None, Problem("regression", "x"), seed=1)

    assert made.frame["x"].tolist() == frame["x"].tolist()


@pytest.mark.parametrize("method", ADDING)
def test_training_classes_are_balanced(
    method: Method, frame: pd.DataFrame, numbers: pd.DataFrame, stored: Stored
) -> None:
    made = balanced(numbers if method in NUMBERS_ONLY else frame, stored, method)

    counts = part(made, TRAINING, SYNTHETIC)["y"].value_counts()
    tolerance = 0.15 if method == "adasyn" else 0.0
    assert counts["rare"] == pytest.approx(counts["usual"], rel=tolerance)
    assert made.made == (made.frame[PART] == SYNTHETIC).sum()


@pytest.mark.parametrize("method", ADDING)
def test_rows_that_were_there_stay(
    method: Method, frame: pd.DataFrame, numbers: pd.DataFrame, stored: Stored
) -> None:
    given = numbers if method in NUMBERS_ONLY else frame

    made = balanced(given, stored, method)

    pd.testing.assert_frame_equal(made.frame[given.columns].head(N), given)
    assert set(made.frame[PART].head(N)) == {TRAINING, VALIDATION, HOLDOUT}
    assert set(made.frame[PART][N:]) == {SYNTHETIC}


@pytest.mark.parametrize("method", ADDING)
def test_types_of_columns_stay(
    method: Method, frame: pd.DataFrame, numbers: pd.DataFrame, stored: Stored
) -> None:
    given = numbers if method in NUMBERS_ONLY else frame

    made = balanced(given, stored, method)

    assert made.frame.drop(columns=PART).dtypes.to_dict() == given.dtypes.to_dict()
    assert not made.frame.isna().to_numpy().any()


@pytest.mark.parametrize("method", ["random_over", "smote", *NUMBERS_ONLY])
def test_parts_are_the_same_whatever_the_method(
    method: Method, numbers: pd.DataFrame, stored: Stored
) -> None:
    _, schema = stored(numbers)
    features = features_of(numbers, schema, None, BINARY, seed=1)

    made = balanced(numbers, stored, method)

    assert made.frame[PART].head(N).tolist() == features.frame[PART].tolist()


def test_rows_held_out_make_no_rows(frame: pd.DataFrame, stored: Stored) -> None:
    made = balanced(frame, stored, "smote_nc")
    held_out = (made.frame[PART].head(N) != TRAINING).to_numpy()
    changed = frame.copy()
    changed.loc[held_out, "x"] = 1e6
    changed.loc[held_out, "job"] = "astronaut"

    other = balanced(changed, stored, "smote_nc")

    pd.testing.assert_frame_equal(part(made, SYNTHETIC), part(other, SYNTHETIC))


def test_repeated_rows_are_rows_of_the_training_part(frame: pd.DataFrame, stored: Stored) -> None:
    made = balanced(frame, stored, "random_over")

    columns = list(frame.columns)
    there = set(part(made, TRAINING)[columns].itertuples(index=False, name=None))
    assert set(part(made, SYNTHETIC)[columns].itertuples(index=False, name=None)) <= there


def test_great_whole_numbers_are_repeated_exactly(
    frame: pd.DataFrame, stored: Stored, rng: np.random.Generator
) -> None:
    great = frame.assign(account=2**53 + 1 + 2 * rng.integers(0, 10**6, N))

    made = balanced(great, stored, "random_over")

    assert set(part(made, SYNTHETIC)["account"]) <= set(great["account"])


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(7, id="whole number"),
        pytest.param(True, id="truth value"),
        pytest.param(pd.Timestamp("2020-01-01"), id="date"),
    ],
)
@pytest.mark.parametrize("method", ["random_over", "smote_nc"])
def test_a_column_that_never_changes_keeps_its_type(
    method: Method, values: Any, frame: pd.DataFrame, stored: Stored
) -> None:
    made = balanced(frame.assign(same=values), stored, method)

    assert made.frame["same"].dtype == frame.assign(same=values)["same"].dtype


@pytest.mark.parametrize("method", ["random_over", "smote_nc"])
def test_truth_values_with_gaps_can_be_written(
    method: Method,
    frame: pd.DataFrame,
    stored: Stored,
    rng: np.random.Generator,
    tmp_path: Path,
) -> None:
    path, _ = stored(frame.assign(maybe=rng.choice([True, False, None], N)))

    made = balanced(read(path), stored, method)

    schema = write(made, tmp_path / "made.parquet")
    assert {each.name: each.type for each in schema.columns}["maybe"] == "bool"


def test_days_stay_days(frame: pd.DataFrame, stored: Stored, tmp_path: Path) -> None:
    path, _ = stored(frame.assign(day=frame["naive"].dt.date))
    given = read(path)

    made = balanced(given, stored, "random_over")

    write(made, tmp_path / "made.parquet")
    assert made.frame["day"].dtype == given["day"].dtype
    assert set(part(made, SYNTHETIC)["day"]) <= set(given["day"])


def test_gaps_of_whole_numbers_stay_gaps(
    frame: pd.DataFrame, stored: Stored, rng: np.random.Generator
) -> None:
    given = frame.assign(gaps=pd.array(rng.choice([1, 2, None], N), dtype="Int64"))

    made = balanced(given, stored, "random_over")

    assert made.frame["gaps"].dtype == "Int64"
    assert 0 < part(made, SYNTHETIC)["gaps"].isna().mean() < 1


def test_truth_values_may_be_the_target(frame: pd.DataFrame, stored: Stored) -> None:
    told = frame.assign(y=frame["y"] == "rare")
    _, schema = stored(told)
    problem = Problem("binary", "y", (False, True))

    made = augmented(told, schema, problem, Balancing(method="smote_nc"), seed=1)

    assert made.frame["y"].dtype == bool
    assert part(made, SYNTHETIC)["y"].all()


def test_a_share_of_the_frequent_class_can_be_enough(frame: pd.DataFrame, stored: Stored) -> None:
    made = balanced(frame, stored, "random_over", ratio=0.5)

    counts = part(made, TRAINING, SYNTHETIC)["y"].value_counts()
    assert counts["rare"] == round(0.5 * counts["usual"])


def test_frequent_rows_are_left_out_of_training_alone(frame: pd.DataFrame, stored: Stored) -> None:
    before = balanced(frame, stored, "random_over").frame.head(N)

    made = balanced(frame, stored, "random_under")

    counts = part(made, TRAINING)["y"].value_counts()
    assert counts["rare"] == counts["usual"]
    assert made.made == 0
    kept = before.drop(index=list(made.dropped)).reset_index(drop=True)
    pd.testing.assert_frame_equal(made.frame, kept)
    held_out = (before[PART] != TRAINING).sum()
    assert len(part(made, VALIDATION, HOLDOUT)) == held_out


def test_frequent_rows_left_out_are_listed_by_their_place_in_the_table(
    frame: pd.DataFrame, stored: Stored
) -> None:
    gaps = frame.assign(y=frame["y"].mask(frame.index < 20))

    made = balanced(gaps, stored, "random_under")

    kept = gaps.drop(index=list(made.dropped)).dropna(subset=["y"])
    assert made.frame["x"].tolist() == kept["x"].tolist()


def test_rows_are_added_to_a_table_with_parts(frame: pd.DataFrame, stored: Stored) -> None:
    parts = np.resize([TRAINING, TRAINING, HOLDOUT, VALIDATION], N)

    made = balanced(frame.assign(**{PART: parts}), stored, "smote_nc")

    assert made.frame[PART].head(N).tolist() == parts.tolist()
    assert set(made.frame[PART][N:]) == {SYNTHETIC}


def test_features_of_an_augmented_table_keep_its_parts(frame: pd.DataFrame, stored: Stored) -> None:
    more = balanced(frame, stored, "random_over").frame
    _, schema = stored(more)

    made = features_of(more, schema, None, BINARY, seed=5)

    assert made.frame[PART].tolist() == more[PART].tolist()
    assert part(made, TRAINING)["x"].mean() == pytest.approx(0.0, abs=1e-9)


def test_an_augmented_table_of_features_keeps_its_parts(
    frame: pd.DataFrame, stored: Stored
) -> None:
    _, schema = stored(frame)
    features = features_of(frame, schema, None, BINARY, seed=1).frame

    made = balanced(features, stored, "smote")

    assert made.frame[PART].head(N).tolist() == features[PART].tolist()
    assert set(made.frame[PART][N:]) == {SYNTHETIC}


def test_what_cannot_be_balanced_is_refused(frame: pd.DataFrame, stored: Stored) -> None:
    with pytest.raises(ResamplingError):
        balanced(frame, stored, "adasyn")


def test_a_table_without_parts_is_split_as_asked(frame: pd.DataFrame) -> None:
    asked = SplitPolicy(kind="time", column="naive")

    assert policy_for(frame, asked) is asked


@pytest.mark.parametrize(
    "asked", [SplitPolicy(), SplitPolicy(kind="predefined", column=PART)], ids=["usual", "its own"]
)
def test_a_derived_table_is_split_by_its_parts(asked: SplitPolicy, frame: pd.DataFrame) -> None:
    policy = policy_for(frame.assign(**{PART: TRAINING}), asked)

    assert (policy.kind, policy.column) == ("predefined", PART)


@pytest.mark.parametrize("kind", ["grouped", "time", "predefined"])
def test_a_derived_table_is_split_by_nothing_else(kind: Any, frame: pd.DataFrame) -> None:
    with pytest.raises(SplitError, match="train on the version it was made from"):
        policy_for(frame.assign(**{PART: TRAINING}), SplitPolicy(kind=kind, column="job"))


@pytest.mark.parametrize("method", ["random_over", "smote_nc", "random_under"])
def test_a_table_is_written_as_it_is(
    method: Method, frame: pd.DataFrame, stored: Stored, tmp_path: Path
) -> None:
    made = balanced(frame, stored, method)
    path = tmp_path / "made.parquet"

    schema = write(made, path)

    pd.testing.assert_frame_equal(read(path), made.frame)
    assert schema.names == tuple(made.frame.columns)
    _, before = stored(frame)
    kinds = {each.name: (each.kind, each.type) for each in schema.columns if each.name != PART}
    assert kinds == {each.name: (each.kind, each.type) for each in before.columns}


def test_the_schema_of_a_written_table_tells_its_gaps(tmp_path: Path) -> None:
    made = Derived(pd.DataFrame({"x": [1.0, np.nan, 3.0], PART: [TRAINING] * 3}))

    schema = write(made, tmp_path / "made.parquet")

    assert [each.nullable for each in schema.columns] == [True, False]
