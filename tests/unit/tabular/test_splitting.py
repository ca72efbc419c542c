from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.tabular.errors import SplitError, UnknownColumnError
from tasks.tabular.problem import Problem
from tasks.tabular.splitting import (
    HOLDOUT_SHARE,
    PART_WORDS,
    Split,
    SplitPolicy,
    child_seed,
    crossed,
    hold_out,
    keys_of,
    row_hashes,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Callable

BINARY = Problem("binary", "y", (0, 1))
REGRESSION = Problem("regression", "y")


def test_every_row_is_in_exactly_one_part() -> None:
    y = pd.Series([0, 1] * 100)

    training, holdout = hold_out(y, BINARY, seed=1)

    assert sorted([*training, *holdout]) == list(range(200))
    assert len(holdout) == HOLDOUT_SHARE * 200


def test_the_same_seed_gives_the_same_rows() -> None:
    y = pd.Series(np.arange(100.0))

    assert (
        hold_out(y, REGRESSION, seed=1)[1].tolist() == hold_out(y, REGRESSION, seed=1)[1].tolist()
    )
    assert (
        hold_out(y, REGRESSION, seed=1)[1].tolist() != hold_out(y, REGRESSION, seed=2)[1].tolist()
    )


def test_classes_keep_their_shares() -> None:
    y = pd.Series([0] * 900 + [1] * 100)

    _, holdout = hold_out(y, BINARY, seed=3)

    assert y.iloc[holdout].mean() == 0.1


def test_validation_folds_cover_each_row_once() -> None:
    validated = np.concatenate([v for _, v in crossed(pd.Series([0, 1] * 100), BINARY, 5, seed=0)])

    assert sorted(validated) == list(range(200))


def test_equal_rows_have_equal_hashes_whatever_their_place() -> None:
    frame = pd.DataFrame({"a": ["x", "y", "x", None], "b": [1.0, 2.0, 1.0, np.nan]})

    hashes = row_hashes(frame)

    assert hashes[0] == hashes[2]
    assert len(set(hashes)) == 3
    assert row_hashes(frame.iloc[::-1]).tolist() == hashes[::-1].tolist()


POLICIES = {
    "random": SplitPolicy(),
    "grouped": SplitPolicy(kind="grouped", column="key"),
    "time": SplitPolicy(kind="time", column="key"),
    "predefined": SplitPolicy(kind="predefined", column="key"),
}
N = 300
WORDS = np.resize(["train", "train", "train", "valid", "test"], N)


def _keys(kind: str, rng: np.random.Generator) -> pd.Series | None:
    return {
        "random": None,
        "grouped": pd.Series(rng.integers(0, 40, N)),
        "time": pd.Series(rng.permutation(N)),
        "predefined": pd.Series(rng.permutation(WORDS)),
    }[kind]


def _target(problem: Problem, rng: np.random.Generator, rows: int = N) -> pd.Series:
    if problem.kind == "regression":
        return pd.Series(rng.normal(size=rows))
    return pd.Series(rng.permutation(np.resize(problem.classes, rows)))


def _cuts(dealt: Split) -> list[tuple[np.ndarray, np.ndarray]]:
    """What is fitted on and what it is judged on, as positions in the table."""
    within = [(dealt.training[a], dealt.training[b]) for a, b in dealt.crossed]
    return [(dealt.training, dealt.holdout), *within]


def test_a_column_belongs_to_every_policy_but_random() -> None:
    with pytest.raises(ValidationError, match="`column`"):
        SplitPolicy(kind="time")
    with pytest.raises(ValidationError, match="`column`"):
        SplitPolicy(column="day")


def test_only_columns_that_name_a_part_or_group_are_no_features() -> None:
    assert {kind: policy.hidden for kind, policy in POLICIES.items()} == {
        "random": (),
        "grouped": ("key",),
        "time": (),
        "predefined": ("key",),
    }


def test_the_column_of_a_policy_is_found_or_the_nearest_suggested() -> None:
    frame = pd.DataFrame({"patient": [1, 2]})

    assert keys_of(frame, SplitPolicy()) is None
    with pytest.raises(UnknownColumnError, match="patient"):
        keys_of(frame, SplitPolicy(kind="grouped", column="patent"))


def test_purposes_have_seeds_of_their_own() -> None:
    seeds = {child_seed(seed, purpose) for seed in (0, 1) for purpose in ("a", "b")}

    assert len(seeds) == 4
    assert child_seed(0, "a") == child_seed(0, "a")
    assert all(0 <= each < 2**32 for each in seeds)


@pytest.mark.parametrize("problem", [BINARY, REGRESSION], ids=lambda each: each.kind)
@pytest.mark.parametrize("kind", POLICIES)
def test_each_row_is_in_one_part_and_each_fold_within_training(
    kind: str, problem: Problem, rng: np.random.Generator
) -> None:
    y, keys = _target(problem, rng), _keys(kind, rng)

    dealt = split(y, problem, seed=1, policy=POLICIES[kind], keys=keys)

    assert sorted([*dealt.training, *dealt.holdout]) == list(range(N))
    assert (np.diff(dealt.training) > 0).all()
    assert (np.diff(dealt.holdout) > 0).all()
    for training, validation in dealt.crossed:
        assert not set(training) & set(validation)
        assert max([*training, *validation]) < len(dealt.training)


@given(
    kind=st.sampled_from(list(POLICIES)),
    problem=st.sampled_from([BINARY, REGRESSION]),
    share=st.sampled_from([0.05, 0.1, 0.2, 0.33, 0.5]),
    seed=st.integers(0, 2**32 - 1),
    distinct=st.integers(1, N),
    gaps=st.floats(0, 1),
)
@settings(max_examples=60)
def test_no_fold_holds_a_row_of_the_holdout(
    *, kind: str, problem: Problem, share: float, seed: int, distinct: int, gaps: float
) -> None:
    rng = np.random.default_rng(seed)
    numbers = pd.Series(rng.integers(0, distinct, N).astype(float)).mask(rng.random(N) < gaps)
    keys = pd.Series(rng.permutation(WORDS)) if kind == "predefined" else numbers
    policy = POLICIES[kind].model_copy(update={"holdout_share": share})

    try:
        dealt = split(_target(problem, rng), problem, seed=seed, policy=policy, keys=keys)
    except SplitError:
        return

    for training, validation in dealt.crossed:
        assert not set(dealt.training[training]) & set(dealt.holdout)
        assert not set(dealt.training[validation]) & set(dealt.holdout)
        assert not set(training) & set(validation)


@pytest.mark.parametrize("kind", ["random", "grouped"])
def test_the_same_seed_deals_the_same_rows_and_another_others(
    kind: str, rng: np.random.Generator
) -> None:
    y, keys = _target(BINARY, rng), _keys(kind, rng)

    one, again, other = (
        split(y, BINARY, seed=seed, policy=POLICIES[kind], keys=keys) for seed in (1, 1, 2)
    )

    assert one.table(y.index).equals(again.table(y.index))
    assert one.holdout.tolist() != other.holdout.tolist()


@pytest.mark.parametrize("kind", ["random", "grouped"])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4, 0.5])
def test_as_many_rows_are_held_out_as_asked(
    kind: str, share: float, rng: np.random.Generator
) -> None:
    groups = pd.Series(np.arange(N) // 2) if kind == "grouped" else None
    policy = POLICIES[kind].model_copy(update={"holdout_share": share})

    dealt = split(_target(BINARY, rng), BINARY, seed=1, policy=policy, keys=groups)

    assert len(dealt.holdout) / N == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("kind", ["random", "grouped"])
def test_every_part_has_each_class_in_its_share(kind: str, rng: np.random.Generator) -> None:
    y = pd.Series(rng.permutation(np.repeat([0, 1], [240, 60])))
    groups = pd.Series(np.arange(N) // 3) if kind == "grouped" else None

    dealt = split(y, BINARY, seed=1, policy=POLICIES[kind], keys=groups)

    for training, judged in _cuts(dealt):
        assert y.iloc[training].mean() == pytest.approx(0.2, abs=0.03)
        assert y.iloc[judged].mean() == pytest.approx(0.2, abs=0.06)


def test_a_holdout_too_small_for_the_classes_is_refused() -> None:
    y = pd.Series(np.resize(list("abcde"), 60))
    problem = Problem("multiclass", "y", tuple("abcde"))

    with pytest.raises(SplitError):
        split(y, problem, seed=1, policy=SplitPolicy(holdout_share=0.05))


@pytest.mark.parametrize("kind", ["grouped", "time", "predefined"])
def test_a_policy_without_its_column_is_not_dealt_at_random(kind: str) -> None:
    y = pd.Series([0, 1] * 100)

    with pytest.raises(SplitError):
        split(y, BINARY, seed=1, policy=POLICIES[kind])


@pytest.mark.parametrize("problem", [BINARY, REGRESSION], ids=lambda each: each.kind)
@pytest.mark.parametrize("rows", [N, 7_000], ids=["few rows", "many rows"])
def test_no_group_is_on_both_sides(problem: Problem, rows: int, rng: np.random.Generator) -> None:
    groups = pd.Series([f"patient {n}" for n in rng.integers(0, 60, rows)])
    y = _target(problem, rng, rows)

    dealt = split(y, problem, seed=1, policy=POLICIES["grouped"], keys=groups)

    assert len(dealt.crossed) == 5
    for training, judged in _cuts(dealt):
        assert not set(groups[training]) & set(groups[judged])


def test_rows_without_a_group_are_groups_of_their_own(rng: np.random.Generator) -> None:
    groups = pd.Series(np.repeat(np.arange(20.0), 15)).mask(rng.random(N) < 0.3)
    y = _target(BINARY, rng)

    dealt = split(y, BINARY, seed=1, policy=POLICIES["grouped"], keys=groups)

    assert 0 < groups[dealt.holdout].isna().sum() < groups.isna().sum()
    for training, judged in _cuts(dealt):
        assert not set(groups[training].dropna()) & set(groups[judged].dropna())


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA, pd.NaT])
def test_every_kind_of_gap_is_no_group(missing: object, rng: np.random.Generator) -> None:
    groups = pd.Series([f"g{n // 10}" for n in range(N)], dtype=object)
    groups[::2] = missing

    dealt = split(_target(BINARY, rng), BINARY, seed=1, policy=POLICIES["grouped"], keys=groups)

    assert 0 < groups[dealt.holdout].isna().sum() < N / 2


@pytest.mark.parametrize("count", [1, 9])
def test_too_few_groups_are_refused_by_their_number(count: int, rng: np.random.Generator) -> None:
    groups = pd.Series(np.arange(N) % count)

    with pytest.raises(SplitError, match=f"{count} groups are too few, 10 are needed"):
        split(_target(BINARY, rng), BINARY, seed=1, policy=POLICIES["grouped"], keys=groups)


def test_one_group_of_nearly_all_rows_is_refused(rng: np.random.Generator) -> None:
    groups = pd.Series([0] * (N - 15) + list(range(1, 16)))

    with pytest.raises(SplitError, match="rows"):
        split(_target(BINARY, rng), BINARY, seed=1, policy=POLICIES["grouped"], keys=groups)


TIMES = {
    "integers": pd.Series(np.arange(N)),
    "nullable integers": pd.Series(np.arange(N)).astype("Int64"),
    "fractions": pd.Series(np.arange(N) / 7),
    "dates": pd.Series(pd.date_range("1960-01-01", periods=N)),
    "microseconds": pd.Series(pd.date_range("2024-01-01", periods=N, freq="us")),
    "a time zone with a change of the clock": pd.Series(
        pd.date_range("2024-10-26", periods=N, freq="10min", tz="Europe/Berlin")
    ),
    "the end of time": pd.Series(pd.date_range("2024", periods=N).astype("datetime64[us]")).where(
        np.arange(N) < N - 5, pd.Timestamp("9999-12-31").as_unit("us")
    ),
}


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES)
def test_the_newest_rows_are_held_out(times: pd.Series, rng: np.random.Generator) -> None:
    order = rng.permutation(N)
    keys = times.iloc[order].reset_index(drop=True)

    dealt = split(_target(BINARY, rng), BINARY, seed=1, policy=POLICIES["time"], keys=keys)

    assert sorted(order[dealt.holdout]) == list(range(240, N))


@pytest.mark.parametrize("rows", [N, 7_000], ids=["few rows", "many rows"])
@pytest.mark.parametrize("each", [1, 7, 30], ids=lambda each: f"{each} rows a moment")
def test_what_judges_comes_after_what_was_fitted_on(
    each: int, rows: int, rng: np.random.Generator
) -> None:
    times = pd.Series(rng.permutation(np.arange(rows) // each))

    dealt = split(_target(BINARY, rng, rows), BINARY, seed=1, policy=POLICIES["time"], keys=times)

    assert len(dealt.crossed) == 5
    for training, judged in _cuts(dealt):
        assert times[training].max() < times[judged].min()


def test_equal_moments_of_different_zones_are_never_parted(rng: np.random.Generator) -> None:
    hours = pd.date_range("2024-03-31", periods=N // 6, freq="h", tz="UTC")
    times = pd.Series(rng.permutation(np.repeat(hours, 6))).dt.tz_convert("America/New_York")

    dealt = split(_target(BINARY, rng), BINARY, seed=1, policy=POLICIES["time"], keys=times)

    for training, judged in _cuts(dealt):
        assert times[training].max() < times[judged].min()


def test_one_moment_cannot_be_cut(rng: np.random.Generator) -> None:
    with pytest.raises(SplitError, match="rows"):
        split(
            _target(BINARY, rng), BINARY, seed=1, policy=POLICIES["time"], keys=pd.Series([3] * N)
        )


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("dates", [False, True], ids=["numbers", "dates"])
def test_rows_without_a_time_train(share: float, dates: bool, rng: np.random.Generator) -> None:
    times = pd.Series(pd.date_range("2024", periods=N)) if dates else pd.Series(np.arange(N * 1.0))
    times = times.mask(rng.permutation(N) < share * N)

    dealt = split(_target(BINARY, rng), BINARY, seed=1, policy=POLICIES["time"], keys=times)

    for _, judged in _cuts(dealt):
        assert times[judged].notna().all()


def test_too_few_times_are_refused(rng: np.random.Generator) -> None:
    times = pd.Series(np.arange(N * 1.0)).where(np.arange(N) < 30)

    with pytest.raises(SplitError):
        split(_target(BINARY, rng), BINARY, seed=1, policy=POLICIES["time"], keys=times)


def test_a_time_that_is_text_is_refused_by_name(rng: np.random.Generator) -> None:
    times = pd.Series([f"2024-01-{1 + n % 28:02}" for n in range(N)], name="day")

    with pytest.raises(SplitError, match="'day' holds neither dates nor numbers"):
        split(_target(BINARY, rng), BINARY, seed=1, policy=POLICIES["time"], keys=times)


def _dealt(words: np.ndarray | pd.Series, rng: np.random.Generator) -> Split:
    keys = pd.Series(words)
    return split(
        _target(BINARY, rng, len(keys)), BINARY, seed=1, policy=POLICIES["predefined"], keys=keys
    )


@pytest.mark.parametrize("dressed", [str.lower, str.upper, str.title, " {} ".format])
@pytest.mark.parametrize("word", [w for w, part in PART_WORDS.items() if part != "synthetic"])
def test_every_word_for_a_part_is_read(
    word: str, dressed: Callable[[str], str], rng: np.random.Generator
) -> None:
    words = rng.permutation(np.resize(["train", "train", "valid", "test", dressed(word)], N))

    dealt = _dealt(words, rng)

    ((_, validation),) = dealt.crossed
    found = {
        "training": np.delete(dealt.training, validation),
        "validation": dealt.training[validation],
        "holdout": dealt.holdout,
    }
    for name, positions in found.items():
        assert {PART_WORDS[each.strip().casefold()] for each in words[positions]} == {name}
    assert sum(map(len, found.values())) == N


def test_a_category_column_may_name_the_parts(rng: np.random.Generator) -> None:
    words = pd.Series(rng.permutation(WORDS)).astype("category")

    assert (words[_dealt(words, rng).holdout] == "test").all()


@pytest.mark.parametrize("strange", ["tset", "", None, np.nan, 3])
def test_what_is_no_part_is_named_beside_the_parts(
    strange: object, rng: np.random.Generator
) -> None:
    words = pd.Series(WORDS, dtype=object)
    words[17] = strange

    with pytest.raises(SplitError, match=f"{str(strange)!r} is no part; the parts are train, "):
        _dealt(words, rng)


def test_parts_without_a_holdout_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(SplitError, match="the holdout has 0 rows"):
        _dealt(np.resize(["train", "valid"], N), rng)


def test_parts_without_validation_are_cross_validated(rng: np.random.Generator) -> None:
    dealt = _dealt(np.resize(["train", "train", "test"], N), rng)

    validated = np.concatenate([validation for _, validation in dealt.crossed])
    assert sorted(validated) == list(range(200))


def test_synthetic_rows_train_and_nothing_else(rng: np.random.Generator) -> None:
    words = rng.permutation(np.resize(["train", "synthetic", "valid", "test"], N))

    dealt = _dealt(words, rng)

    ((training, validation),) = dealt.crossed
    assert set(words[dealt.training[training]]) == {"train", "synthetic"}
    assert set(words[dealt.training[validation]]) == {"valid"}
    assert set(words[dealt.holdout]) == {"test"}


def test_synthetic_rows_without_a_validation_part_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(SplitError, match="synthetic"):
        _dealt(np.resize(["train", "synthetic", "test"], N), rng)


def test_a_part_without_a_class_is_refused_by_name() -> None:
    words = np.resize(["train", "valid", "test"], N)
    y = pd.Series(np.where(words == "train", 0, np.arange(N) % 2))

    with pytest.raises(SplitError, match="the training part of fold 0 has no row of class 1"):
        split(y, BINARY, seed=1, policy=POLICIES["predefined"], keys=pd.Series(words))


def test_a_holdout_of_one_class_is_refused() -> None:
    words = np.resize(["train", "valid", "test"], N)
    y = pd.Series(np.where(words == "test", 0, np.arange(N) // 3 % 2))

    with pytest.raises(SplitError, match="the holdout has rows of one class only"):
        split(y, BINARY, seed=1, policy=POLICIES["predefined"], keys=pd.Series(words))


@pytest.mark.parametrize("kind", ["grouped", "time", "predefined"])
def test_keys_are_taken_in_the_order_of_the_target(kind: str, rng: np.random.Generator) -> None:
    y, keys = _target(BINARY, rng), _keys(kind, rng)
    assert keys is not None

    dealt = split(y, BINARY, seed=1, policy=POLICIES[kind], keys=keys)
    shuffled = split(
        y.set_axis(rng.permutation(N)), BINARY, seed=1, policy=POLICIES[kind], keys=keys
    )

    assert dealt.holdout.tolist() == shuffled.holdout.tolist()


@pytest.mark.parametrize("problem", [BINARY, REGRESSION], ids=lambda each: each.kind)
@pytest.mark.parametrize("kind", POLICIES)
def test_the_table_says_of_every_row_its_part_and_the_fold_it_validates(
    kind: str, problem: Problem, rng: np.random.Generator
) -> None:
    y, keys = _target(problem, rng), _keys(kind, rng)
    names = pd.Index([f"row {n}" for n in range(N)])

    dealt = split(y, problem, seed=1, policy=POLICIES[kind], keys=keys)
    table = dealt.table(names)

    assert table["row"].tolist() == names.tolist()
    assert np.flatnonzero(table["part"] == "training").tolist() == dealt.training.tolist()
    assert np.flatnonzero(table["part"] == "holdout").tolist() == dealt.holdout.tolist()
    for number, (_, validation) in enumerate(dealt.crossed):
        validated = sorted(dealt.training[validation])
        assert np.flatnonzero(table["fold"] == number).tolist() == validated


def test_moments_of_many_rows_validate_in_one_fold(rng: np.random.Generator) -> None:
    times = pd.Series(rng.permutation(np.arange(N) // 60))

    dealt = split(_target(BINARY, rng), BINARY, seed=1, policy=POLICIES["time"], keys=times)

    validated = np.concatenate([validation for _, validation in dealt.crossed])
    assert len(set(validated)) == len(validated)


def test_rows_in_no_part_are_unused() -> None:
    dealt = Split(np.array([0, 1]), np.array([3]), [(np.array([0]), np.array([1]))])

    table = dealt.table(pd.RangeIndex(4))

    assert table["part"].tolist() == ["training", "training", "unused", "holdout"]
    assert table["fold"].tolist() == [-1, 0, -1, -1]
