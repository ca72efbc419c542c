from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

from infra.provenance import ROOT
from tasks.tabular.errors import ResamplingError
from tasks.tabular.generative import FEW_VALUES, MAX_CATEGORIES
from tasks.tabular.schema import Schema, conform, infer
from tasks.tabular.vae import (
    MAX_ROWS,
    MIN_ROWS,
    TabularVae,
    VaePolicy,
    _balanced,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

QUICK = VaePolicy(min_steps=10, max_steps=40)
N = 400

Related = tuple[pd.DataFrame, pd.DataFrame]


def _labels(rows: int = N) -> pd.Series:
    return pd.Series(np.where(np.arange(rows) % 4 == 0, "rare", "usual"), name="y")


def _mixed(rng: np.random.Generator, rows: int = N) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "gappy": rng.lognormal(size=rows),
            "count": rng.poisson(100, rows),
            "code": rng.integers(0, 5, rows),
            "job": rng.choice(["cook", "nurse", "smith"], rows),
            "town": rng.choice(["Bonn", "Kiel"], rows),
            "member": rng.random(rows) < 0.3,
            "agreed": pd.Series(rng.random(rows) < 0.5).astype("boolean"),
            "born": pd.Timestamp("1980-01-01", tz="Europe/Berlin")
            + pd.to_timedelta(rng.integers(0, 10**9, rows), unit="s"),
            "left": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), "D"),
        }
    )
    for name in ("gappy", "town", "agreed", "left"):
        frame[name] = frame[name].mask(rng.random(rows) < 0.2)
    return frame


def _made(
    frame: pd.DataFrame,
    y: pd.Series | None = None,
    *,
    label: Any = "rare",
    rows: int = 300,
    seed: int = 1,
    policy: VaePolicy = QUICK,
) -> pd.DataFrame:
    schema = infer(frame)
    y = _labels(len(frame)) if y is None else y
    vae = TabularVae(seed=seed, device="cpu", policy=policy).fit(conform(frame, schema), y, schema)
    return vae.sample(rows, label)


def _require_valid(made: pd.DataFrame, frame: pd.DataFrame) -> None:
    schema = infer(frame)
    real = conform(frame, schema)
    assert made.dtypes.equals(real.dtypes)
    pd.testing.assert_frame_equal(conform(made, schema), made)
    for column in schema.columns:
        seen, values = real[column.name], made[column.name]
        if seen.notna().all():
            assert values.notna().all()
        if column.kind in ("categorical", "boolean", "text"):
            assert set(values.dropna()) <= set(seen.dropna())
        elif values.notna().any():
            assert seen.min() <= values.min()
            assert values.max() <= seen.max()


def test_synthetic_rows_of_mixed_types_are_valid(rng: np.random.Generator) -> None:
    frame = _mixed(rng)

    made = _made(frame)

    assert len(made) == 300
    _require_valid(made, frame)


@pytest.mark.parametrize("rows", [1, 7, 3_000])
def test_as_many_rows_are_made_as_asked(rows: int, rng: np.random.Generator) -> None:
    assert len(_made(_mixed(rng), rows=rows)) == rows


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(["x", "count"], id="numbers"),
        pytest.param(["job", "town", "member"], id="categories"),
        pytest.param(["born"], id="one date"),
        pytest.param(["town"], id="one category"),
        pytest.param(["gappy"], id="one number with gaps"),
    ],
)
def test_a_table_of_one_kind_is_learned(columns: list[str], rng: np.random.Generator) -> None:
    frame = _mixed(rng)[columns]

    _require_valid(_made(frame), frame)


def test_gaps_come_as_often_as_they_were(rng: np.random.Generator) -> None:
    frame = _mixed(rng)[["gappy", "town", "left"]]

    made = _made(frame, policy=VaePolicy(max_steps=500), rows=1_000)

    np.testing.assert_allclose(made.isna().mean(), frame.isna().mean(), atol=0.1)
    assert all(each is None for each in made.loc[made["town"].isna(), "town"])


def test_the_same_seed_gives_the_same_rows_and_another_others(rng: np.random.Generator) -> None:
    frame = _mixed(rng)

    one, again, other = (_made(frame, seed=seed) for seed in (1, 1, 2))

    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(other)


def test_asking_again_gives_the_same_rows_whatever_was_asked_between(
    rng: np.random.Generator,
) -> None:
    frame = _mixed(rng)
    schema = infer(frame)
    vae = TabularVae(seed=1, device="cpu", policy=QUICK)
    vae.fit(conform(frame, schema), _labels(), schema)

    first, _, again = (vae.sample(50, label) for label in ("rare", "usual", "rare"))

    pd.testing.assert_frame_equal(first, again)


SCRIPT = """
import hashlib, sys
import pandas as pd
from tasks.tabular.schema import conform, infer
from tasks.tabular.vae import TabularVae, VaePolicy

frame = pd.read_pickle(sys.argv[1])
y = frame.pop("y")
schema = infer(frame)
vae = TabularVae(seed=1, device="cpu", policy=VaePolicy(min_steps=10, max_steps=40))
made = vae.fit(conform(frame, schema), y, schema).sample(300, "rare")
print(hashlib.sha256(made.to_csv().encode()).hexdigest())
"""


def test_a_fresh_process_gives_the_same_rows(rng: np.random.Generator, tmp_path: Any) -> None:
    frame = _mixed(rng)
    frame.assign(y=_labels()).to_pickle(tmp_path / "frame.pkl")

    fresh = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "frame.pkl"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )

    here = hashlib.sha256(_made(frame).to_csv().encode()).hexdigest()
    assert fresh.stdout.strip() == here


def test_the_state_of_the_process_does_not_matter(rng: np.random.Generator) -> None:
    frame = _mixed(rng)

    one = _made(frame)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002

    pd.testing.assert_frame_equal(_made(frame), one)


def test_the_global_random_states_are_left_alone(rng: np.random.Generator) -> None:
    frame = _mixed(rng)
    torch_before = torch.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002

    _made(frame)

    assert torch.equal(torch.get_rng_state(), torch_before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_a_failure_leaves_the_global_random_state_alone(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_rng_state()
    monkeypatch.setattr(torch.optim.Adam, "step", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        _made(_mixed(rng))

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("labels", [("rare", "usual"), (0, 1), (False, True)])
def test_classes_far_apart_are_generated_apart(
    labels: tuple[Any, Any], rng: np.random.Generator
) -> None:
    y = pd.Series(np.resize([*labels, labels[1]], N))
    frame = pd.DataFrame({"x": rng.normal(size=N) + 20 * (y == labels[1])})
    policy = VaePolicy(max_steps=500)

    low, high = (_made(frame, y, label=label, policy=policy)["x"] for label in labels)

    assert (low < 10).mean() > 0.95
    assert (high > 10).mean() > 0.95


def test_classes_keep_their_own_categories(rng: np.random.Generator) -> None:
    y = _labels()
    frame = pd.DataFrame({"job": np.where(y == "rare", "smith", "cook"), "x": rng.normal(size=N)})

    made = _made(frame, policy=VaePolicy(max_steps=500))

    assert (made["job"] == "smith").mean() > 0.95


def test_each_of_many_classes_is_generated(rng: np.random.Generator) -> None:
    y = pd.Series(np.resize(list("dacb"), N))
    middle = y.map({"a": 0, "b": 10, "c": 20, "d": 30})
    frame = pd.DataFrame({"x": middle + rng.normal(size=N)})
    policy = VaePolicy(max_steps=500)

    means = {label: _made(frame, y, label=label, policy=policy)["x"].mean() for label in "abcd"}

    assert means == pytest.approx({"a": 0, "b": 10, "c": 20, "d": 30}, abs=2)


def _related(rows: int) -> pd.DataFrame:
    """Pay depends on the job, and one number on another."""
    rng = np.random.default_rng(7)
    job = pd.Series(rng.choice(["cook", "nurse", "smith"], rows))
    x = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "job": job,
            "pay": job.map({"cook": 10.0, "nurse": 20.0, "smith": 40.0}) + rng.normal(size=rows),
            "x": 50 + 5 * x,
            "twice": 2 * x + 0.2 * rng.normal(size=rows),
        }
    )


@pytest.fixture(scope="module", params=[400, 1_500], ids="{} rows".format)
def related(request: pytest.FixtureRequest) -> Related:
    """A table whose columns depend on each other, and what is made after training in full."""
    frame = _related(request.param)
    return frame, _made(frame, policy=VaePolicy(), rows=2_000)


def test_a_number_keeps_its_mean_in_every_category(related: Related) -> None:
    frame, made = related

    expected, means = (each.groupby("job")["pay"].mean() for each in (frame, made))

    np.testing.assert_allclose(means, expected, rtol=0.2 if len(frame) > 1_000 else 0.35)


def test_categories_keep_their_shares(related: Related) -> None:
    frame, made = related

    expected, shares = (each["job"].value_counts(normalize=True) for each in (frame, made))

    np.testing.assert_allclose(shares[expected.index], expected, atol=0.1)


def test_two_numbers_stay_correlated(related: Related) -> None:
    _, made = related

    assert np.corrcoef(made["x"], made["twice"])[0, 1] > 0.7


def test_mean_and_spread_of_a_number_are_kept(related: Related) -> None:
    _, made = related

    assert made["x"].mean() == pytest.approx(50, abs=2)
    assert made["x"].std() == pytest.approx(5, rel=0.3)


CONSTANT: Mapping[str, Any] = {
    "number": 3.1,
    "text": "kg",
    "truth value": True,
    "date": pd.Timestamp("2024-02-29"),
}


@pytest.mark.parametrize("value", CONSTANT.values(), ids=CONSTANT)
def test_a_constant_stays_one(value: object, rng: np.random.Generator) -> None:
    frame = pd.DataFrame({"x": rng.normal(size=N)}).assign(same=value)

    made = _made(frame)

    assert set(made["same"]) == set(conform(frame, infer(frame))["same"])


@pytest.mark.parametrize("dtype", ["float64", "object", "datetime64[ns]", "boolean"])
def test_a_column_without_values_stays_without(dtype: str, rng: np.random.Generator) -> None:
    frame = pd.DataFrame({"x": rng.normal(size=N)}).assign(
        empty=pd.Series([None] * N, dtype=object).astype(dtype)
    )

    made = _made(frame)

    assert made["empty"].isna().all()
    _require_valid(made, frame)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(1e9 + 1e-3 * np.arange(N), id="all alike but for digits"),
        pytest.param(np.where(np.arange(N) < N - 1, 5.0, 6.0), id="one other value"),
        pytest.param(np.maximum(0, np.arange(N) - (N - 30)), id="mostly nought"),
        pytest.param(1e-300 * np.arange(N), id="tiny"),
        pytest.param(-1e15 + 7.0 * np.arange(N), id="large whole numbers"),
    ],
)
def test_a_nearly_constant_column_is_learned(values: np.ndarray, rng: np.random.Generator) -> None:
    frame = pd.DataFrame({"x": rng.normal(size=N), "values": values})

    _require_valid(_made(frame), frame)


@pytest.mark.parametrize("outlier", [1e6, 1e12])
def test_an_outlier_does_not_move_the_others(outlier: float, rng: np.random.Generator) -> None:
    x = rng.normal(size=N)
    x[3] = outlier
    frame = pd.DataFrame({"x": x})

    made = _made(frame, policy=VaePolicy(max_steps=500))

    assert made["x"].abs().median() < 3


def test_ten_thousand_different_texts_are_drawn_from(rng: np.random.Generator) -> None:
    rows = 10_000
    frame = pd.DataFrame(
        {"x": rng.normal(size=rows), "letter": [f"letter number {n} of many" for n in range(rows)]}
    )

    made = _made(frame, policy=VaePolicy(max_steps=500), rows=2_000)

    assert infer(frame).of_kind("text") == ["letter"]
    assert made["letter"].nunique() > MAX_CATEGORIES
    _require_valid(made, frame)


def test_infinities_that_are_gaps_stay_gaps(rng: np.random.Generator) -> None:
    x = rng.normal(size=N)
    x[::5], x[1::5] = np.inf, -np.inf
    frame = pd.DataFrame({"x": x})

    made = _made(frame)

    assert made["x"].isna().any()
    assert made["x"].abs().max() <= np.abs(x[np.isfinite(x)]).max()


def test_rare_categories_come_up_in_their_shares(rng: np.random.Generator) -> None:
    rows = 4_000
    codes = np.where(rng.random(rows) < 0.5, 0, rng.integers(1, 400, rows))
    frame = pd.DataFrame({"town": [f"town {n}" for n in codes], "x": rng.normal(size=rows)})

    made = _made(frame, policy=VaePolicy(max_steps=500), rows=4_000)

    common = set(frame["town"].value_counts().index[:MAX_CATEGORIES])
    rare, was_rare = (~each["town"].isin(common) for each in (made, frame))
    assert rare.mean() == pytest.approx(was_rare.mean(), abs=0.15)
    assert made.loc[rare, "town"].nunique() > 200
    _require_valid(made, frame)


def test_gaps_among_more_categories_than_are_known_are_possible(rng: np.random.Generator) -> None:
    towns = pd.Series([f"town {n % (MAX_CATEGORIES + 50)}" for n in range(1_000)], dtype=object)
    frame = pd.DataFrame(
        {"town": towns.mask(towns.index >= 995, None), "x": rng.normal(size=1_000)}
    )

    _require_valid(_made(frame, rows=3_000), frame)


def test_codes_of_few_values_stay_those_values(rng: np.random.Generator) -> None:
    codes = 10 * rng.integers(1, FEW_VALUES, N)
    frame = pd.DataFrame({"code": codes, "half": rng.integers(0, 4, N) / 2})

    made = _made(frame)

    assert set(made["code"]) <= set(codes)
    assert set(made["half"]) <= {0.0, 0.5, 1.0, 1.5}


def test_codes_of_many_values_stay_whole(rng: np.random.Generator) -> None:
    frame = pd.DataFrame({"code": pd.Series(rng.integers(0, 9_999, N)).mask(rng.random(N) < 0.1)})

    made = _made(frame)

    assert (made["code"].dropna() % 1 == 0).all()
    assert made["code"].nunique() > FEW_VALUES


@pytest.mark.parametrize("distinct", [2, 200], ids=["few", "many"])
def test_dates_to_the_end_of_the_calendar_are_learned(
    distinct: int, rng: np.random.Generator
) -> None:
    days = pd.Series(pd.date_range("2020", periods=N).astype("datetime64[us]"))
    until = days.iloc[np.arange(N) % (distinct - 1)].reset_index(drop=True)
    until = until.mask(rng.random(N) < 0.3, pd.Timestamp("9999-12-31").as_unit("us"))
    frame = pd.DataFrame({"until": until, "x": rng.normal(size=N)})

    _require_valid(_made(frame), frame)


def test_dates_are_kept_to_the_microsecond(rng: np.random.Generator) -> None:
    moments = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(
        rng.integers(0, 10**6, N), "us"
    )
    frame = pd.DataFrame({"at": moments})

    made = _made(frame)

    _require_valid(made, frame)
    assert (made["at"].dt.microsecond % 1_000 != 0).any()


@pytest.mark.parametrize("rows", [1, MIN_ROWS - 1])
def test_a_class_of_too_few_rows_is_refused_by_name(rows: int, rng: np.random.Generator) -> None:
    y = pd.Series(["rare"] * rows + ["usual"] * 100)
    frame = _mixed(rng, len(y))

    with pytest.raises(ResamplingError, match=f"class 'rare' has {rows} rows, {MIN_ROWS} are"):
        _made(frame, y)


def test_the_fewest_rows_are_enough(rng: np.random.Generator) -> None:
    y = pd.Series(["rare", "usual"] * MIN_ROWS)
    frame = _mixed(rng, len(y))

    _require_valid(_made(frame, y), frame)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_absent_is_refused_with_the_remedy(rng: np.random.Generator) -> None:
    frame = _mixed(rng)
    schema = infer(frame)
    rows = conform(frame, schema)

    with pytest.raises(ResamplingError, match="no CUDA device; use `auto` or `cpu`"):
        TabularVae(device="cuda").fit(rows, _labels(), schema)

    one, other = (
        TabularVae(device=device, policy=QUICK).fit(rows, _labels(), schema).sample(9, "rare")
        for device in ("auto", "cpu")
    )
    pd.testing.assert_frame_equal(one, other)


def test_what_is_given_is_not_changed(rng: np.random.Generator) -> None:
    frame = _mixed(rng)
    schema: Schema = infer(frame)
    rows, y = conform(frame, schema), _labels()
    before = rows.copy()

    TabularVae(device="cpu", policy=QUICK).fit(rows, y, schema)

    pd.testing.assert_frame_equal(rows, before)
    assert y.equals(_labels())


def test_the_index_of_the_rows_does_not_matter(rng: np.random.Generator) -> None:
    frame = _mixed(rng)
    names = rng.permutation(N) + 1_000

    named = _made(frame.set_axis(names), _labels().set_axis(names))

    pd.testing.assert_frame_equal(named, _made(frame))


def test_training_stops_when_it_no_longer_helps(rng: np.random.Generator) -> None:
    frame = pd.DataFrame({"x": rng.normal(size=N)})
    policy = VaePolicy(max_steps=3_000, min_steps=100, patience_steps=120)
    schema = infer(frame)

    vae = TabularVae(device="cpu", policy=policy).fit(conform(frame, schema), _labels(), schema)

    assert vae.steps_ < 3_000
    assert np.isfinite(vae.bound_)


def test_of_many_rows_those_of_rare_classes_all_train(rng: np.random.Generator) -> None:
    y = pd.Series(np.repeat(["rare", "odd", "usual"], [500, 15_000, 40_000]))

    chosen = _balanced(y, rng)

    counts = y.iloc[chosen].value_counts()
    assert counts.to_dict() == {"rare": 500, "odd": 9_750, "usual": 9_750}
    assert len(set(chosen)) == len(chosen) == MAX_ROWS
