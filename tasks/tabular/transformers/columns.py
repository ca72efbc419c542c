"""One step of a preparation: a transformer on some columns, the others untouched."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from tasks.tabular.errors import StepError, TabularError, suggest
from tasks.tabular.transformers.blocks import Blocks, Selector, as_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

DENSE = 0.3
"""Share of stored cells from which a matrix is dense, as in scikit-learn's ColumnTransformer."""

_FAULTS = (ValueError, TypeError, ArithmeticError, KeyError, IndexError, AttributeError)
"""What libraries raise over columns they cannot handle."""


class OnColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Apply a transformer to some columns and let the others through.

    Parameters
    ----------
    transformer : estimator, "drop" or None
        Fitted on the chosen columns; None lets them through, "drop" leaves them out. Frames
        and sparse columns get a clone each, unless `joint`.
    columns : sequence of str, or Selector
        Names, or what the columns hold where the step stands: a selector that finds none
        makes the step do nothing.
    without : tuple of str
        Columns to leave alone that `columns` would mean.
    keep : bool, default False
        Whether the chosen columns stay beside what is made of them.
    more_than : int, default 0
        Of the chosen columns only those with more different values than this.
    joint : bool, default False
        Whether the transformer needs all chosen columns in one matrix.
    wide : bool, default False
        Whether it reads sparse columns: otherwise selectors pass them by, and those that are
        named become dense.
    overwrites : bool, default False
        Whether what it makes replaces columns of the same name; otherwise it gets another name.
    label : str
        What errors call the step.
    """

    def __init__(
        self,
        transformer: Any = None,
        columns: tuple[str, ...] | Selector = "all",
        *,
        without: tuple[str, ...] = (),
        keep: bool = False,
        more_than: int = 0,
        joint: bool = False,
        wide: bool = False,
        overwrites: bool = False,
        label: str = "columns",
    ) -> None:
        self.transformer = transformer
        self.columns = columns
        self.without = without
        self.keep = keep
        self.more_than = more_than
        self.joint = joint
        self.wide = wide
        self.overwrites = overwrites
        self.label = label

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - sklearn's names
        """Choose the columns and fit the transformer on them."""
        self._fit(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:  # noqa: N803 - sklearn's names
        """Fit and transform at once, so that cross-fitting transformers can cross-fit."""
        return self._fit(X, y)

    def transform(self, X: Any) -> Any:  # noqa: N803 - sklearn's name
        """Return frames for frames and arrays for arrays; wide columns stay sparse."""
        check_is_fitted(self)
        blocks = as_blocks(self._validated(X, reset=False))
        there = set(blocks.names)
        absent = [name for name in self.columns_ if name not in there]
        if absent:
            raise StepError(self.label, tuple(absent), suggest(absent[0], blocks.names))
        chosen = self._selected(blocks)
        index = blocks.frame.index
        made = [
            _as_named(self._run(each.transform, part), names, index)
            for (each, part), names in zip(self._parts(chosen), self.outputs_, strict=True)
        ]
        return self._answer(X, self._together(blocks, made))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002 - sklearn's name
        """Name all columns that leave the step."""
        check_is_fitted(self)
        return np.asarray(self.names_, dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Missing values, texts and sparse columns pass."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _fit(self, X: Any, y: Any) -> Any:  # noqa: N803 - sklearn's name
        blocks = as_blocks(self._validated(X, reset=True))
        self.columns_ = self._chosen(blocks)
        chosen = self._selected(blocks)
        self.transformers_ = self._clones(chosen)
        taken = set(self._rest(blocks).names)
        made = []
        for each, part in self._parts(chosen):
            values = self._run(each.fit_transform, part, y)
            names = self._fresh(self._made_names(each, part, values), taken)
            made.append(_as_named(values, names, blocks.frame.index))
            taken |= set(names)
        self.outputs_ = [each.names for each in made]
        answer = self._together(blocks, made)
        self.names_ = answer.names
        return self._answer(X, answer)

    def _clones(self, chosen: Blocks) -> list[Any]:
        """One transformer for the frame and one for the wide columns, or one for both."""
        if self.transformer is None or isinstance(self.transformer, str) or not self.columns_:
            return []
        both = chosen.wide is not None and bool(chosen.frame.shape[1])
        return [clone(self.transformer) for _ in range(2 if both and not self.joint else 1)]

    def _parts(self, chosen: Blocks) -> list[tuple[Any, Any]]:
        """Pair every transformer with what it gets: a frame where it can be one."""
        if not self.transformers_:
            return []
        if chosen.wide is None:
            return [(self.transformers_[0], chosen.frame)]
        if self.joint:
            return [(self.transformers_[0], chosen.matrix())]
        parts: list[Any] = [chosen.frame] if chosen.frame.shape[1] else []
        return list(zip(self.transformers_, [*parts, chosen.wide], strict=True))

    def _selected(self, blocks: Blocks) -> Blocks:
        chosen = blocks.select(self.columns_)
        return chosen if self.wide else chosen.dense()

    def _made_names(self, transformer: Any, part: Any, values: Any) -> list[str]:
        if isinstance(values, pd.DataFrame):
            return [str(name) for name in values.columns]
        given = part.columns if isinstance(part, pd.DataFrame) else self.columns_[-part.shape[1] :]
        names = transformer.get_feature_names_out(np.asarray(given, dtype=object))
        return [str(name) for name in names]

    def _fresh(self, names: list[str], taken: set[str]) -> tuple[str, ...]:
        """Give what is made names of its own: no column is lost to another of its name."""
        if not self.overwrites and taken.intersection(names):
            names = [f"{self.label}:{name}" for name in names]
        seen: Counter[str] = Counter()
        unique = []
        for name in names:
            seen[name] += 1
            unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
        return tuple(unique)

    def _run(self, act: Callable[..., Any], *given: Any) -> Any:
        """Run a transformer's method; its faults name the step and the columns."""
        try:
            return act(*given)
        except TabularError:
            raise
        except _FAULTS as fault:
            reason = " ".join(str(fault).split())[:300] or type(fault).__name__
            if "contains NaN" in reason or "missing values" in reason:
                reason = "the columns have gaps; put an `impute` step before it"
            raise StepError(self.label, tuple(self.columns_), reason) from fault

    def _together(self, blocks: Blocks, made: list[Blocks]) -> Blocks:
        rest = self._rest(blocks)
        for each in made:
            rest = rest.joined(each)
        return rest

    def _rest(self, blocks: Blocks) -> Blocks:
        passes = self.transformer is None or not self.columns_ or self.keep
        return blocks if passes else blocks.without(self.columns_)

    def _chosen(self, blocks: Blocks) -> list[str]:
        if isinstance(self.columns, str):
            names = blocks.chosen(self.columns, wide=self.wide)
        else:
            names = list(self.columns)
            known = set(blocks.names)
            absent = [name for name in names if name not in known]
            if absent:
                there = suggest(absent[0], blocks.names)
                raise StepError(
                    self.label, tuple(absent), f"there is no such column at this step; {there}"
                )
        if self.without:
            left = set(self.without)
            names = [name for name in names if name not in left]
        if self.more_than:
            frame = blocks.select(names).dense().frame
            names = [name for name in names if frame[name].nunique() > self.more_than]
        wide = set(blocks.wide_names)
        return sorted(names, key=wide.__contains__)  # the order `Blocks.select` gives

    def _validated(self, X: Any, *, reset: bool) -> Any:  # noqa: N803 - sklearn's name
        """Check arrays as scikit-learn does; frames and blocks come from the step before."""
        if isinstance(X, (Blocks, pd.DataFrame)):
            if reset:
                self.n_features_in_ = X.shape[1]
            return X
        return validate_data(
            self, X, reset=reset, accept_sparse="csr", dtype=None, ensure_all_finite="allow-nan"
        )

    @staticmethod
    def _answer(given: Any, blocks: Blocks) -> Any:
        if isinstance(given, Blocks) or (
            isinstance(given, pd.DataFrame) and blocks.wide is not None
        ):
            return blocks
        if isinstance(given, pd.DataFrame):
            return blocks.frame
        return blocks.matrix() if blocks.wide is not None else blocks.frame.to_numpy()


def _as_named(values: Any, names: tuple[str, ...], index: pd.Index[Any]) -> Blocks:
    """Return what a transformer made with names, and with the rows' index."""
    if isinstance(values, pd.DataFrame):
        return Blocks(_labelled(values, list(names), index))
    if sparse.issparse(values):
        return Blocks(pd.DataFrame(index=index), sparse.csr_matrix(values), names)
    return Blocks(pd.DataFrame(values, columns=list(names), index=index))


def _labelled(frame: pd.DataFrame, names: list[str], index: pd.Index[Any]) -> pd.DataFrame:
    """Return the same values under other labels; `set_axis` would copy them."""
    view = frame.copy(deep=False)
    view.columns, view.index = pd.Index(names), index
    return view


class Matrix(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """The last step: what learners take.

    Parameters
    ----------
    output : {"matrix", "frame"}, default "matrix"
        Numbers in one matrix, sparse where few cells are stored; or a frame whose categories
        learners read natively, with columns called f0, f1, … because LightGBM and XGBoost
        refuse names with `[` or `:` in them.
    """

    def __init__(self, output: Literal["matrix", "frame"] = "matrix") -> None:
        self.output = output

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn the names, and refuse columns no learner could read."""
        blocks = as_blocks(self._validated(X, reset=True))
        kinds = [*blocks.chosen("categorical"), *blocks.chosen("text"), *blocks.chosen("datetime")]
        native = [
            str(name)
            for name, kind in blocks.frame.dtypes.items()
            if isinstance(kind, pd.CategoricalDtype) and self.output == "matrix"
        ]
        if kinds or native:
            raise StepError(
                "matrix",
                (*kinds, *native),
                "the column is no number after the last step; encode it (one_hot, ordinal, "
                "target_encode, date_parts, text), drop it, or set `remainder` to `default`",
            )
        self.names_ = blocks.names
        self.sparse_ = blocks.density < DENSE
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803 - sklearn's name
        """Return shape (n_rows, n_features): float64 array, CSR matrix or frame."""
        check_is_fitted(self)
        blocks = as_blocks(self._validated(X, reset=False))
        if self.output == "matrix" or not isinstance(X, (Blocks, pd.DataFrame)):
            return blocks.matrix() if self.sparse_ else blocks.array()
        frame = blocks.frame
        if blocks.wide is not None:
            wide = pd.DataFrame(blocks.wide.toarray(), index=frame.index)
            frame = pd.concat([frame, wide], axis=1, copy=False)
        whole = frame.select_dtypes(["integer", "boolean"]).columns
        frame = frame.astype(dict.fromkeys(whole, np.float64)) if len(whole) else frame
        return _labelled(frame, [f"f{place}" for place in range(frame.shape[1])], frame.index)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002 - sklearn's name
        """Name the features."""
        check_is_fitted(self)
        return np.asarray(self.names_, dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Missing values and sparse columns pass."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def _validated(self, X: Any, *, reset: bool) -> Any:  # noqa: N803 - sklearn's name
        if isinstance(X, (Blocks, pd.DataFrame)):
            if reset:
                self.n_features_in_ = X.shape[1]
            return X
        return validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=np.float64,
            ensure_all_finite="allow-nan",
        )
