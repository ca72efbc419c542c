"""Transformers of categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils.validation import check_is_fitted, validate_data

from tasks.tabular.transformers.base import GapTransformer

if TYPE_CHECKING:
    from numpy.typing import NDArray

OTHER, MISSING = "(other)", "(missing)"
"""What rare and unseen, and what missing values are called."""

_INFREQUENT = "infrequent_sklearn"
"""What scikit-learn calls rare values."""


def named_category(column: str, category: object) -> str:
    """Name an indicator, for scikit-learn's `OneHotEncoder`."""
    if category is None or category != category:  # noqa: PLR0124 - NaN alone differs from itself
        return f"{column}={MISSING}"
    return f"{column}={OTHER if category == _INFREQUENT else category}"


class Categorical(GapTransformer):
    """What the transformers below share: they read columns of any values."""

    def _texts(self, X: Any, *, reset: bool) -> pd.DataFrame:  # noqa: N803 - sklearn's name
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        array = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
        names = [f"x{place}" for place in range(array.shape[1])]
        return pd.DataFrame(array, columns=names)

    def __sklearn_tags__(self) -> Any:
        """Texts and missing values pass."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


class NativeCategories(Categorical):
    """Mark categories for learners that read them natively.

    Parameters
    ----------
    max_categories : int, default 254
        The rarer ones share one, which also stands for what was never seen. With it and the
        missing ones a byte holds them all.

    The categories of a column are those of its values, most frequent first, `(other)` and
    `(missing)`: no value is without one.
    """

    def __init__(self, max_categories: int = 254) -> None:
        self.max_categories = max_categories

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn the categories of every column."""
        frame = self._texts(X, reset=True)
        self.categories_ = [self._known(frame[name]) for name in frame.columns]
        return self

    def transform(self, X: Any) -> pd.DataFrame:  # noqa: N803 - sklearn's name
        """Return a frame of pandas categories, shape (n_rows, n_columns)."""
        check_is_fitted(self)
        frame = self._texts(X, reset=False)
        return pd.DataFrame(
            {
                name: _coded(frame[name], known)
                for name, known in zip(frame.columns, self.categories_, strict=True)
            },
            index=frame.index,
        )

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names stay."""
        return np.asarray(self._inputs(input_features), dtype=object)

    def _known(self, values: pd.Series[Any]) -> pd.Index[Any]:
        counts = values.value_counts()
        # ties by name: the same rows in another order give the same categories
        ordered = counts.sort_index(key=lambda index: index.astype(str)).sort_values(
            ascending=False, kind="stable"
        )
        reserved = {OTHER, MISSING}
        names = [name for name in ordered.index.tolist() if name not in reserved]
        return pd.Index([*names[: self.max_categories], OTHER, MISSING], dtype=object)


def _coded(values: pd.Series[Any], known: pd.Index[Any]) -> pd.Categorical:
    codes = known.get_indexer(pd.Index(values))
    codes[codes < 0] = len(known) - 2
    codes[values.isna().to_numpy()] = len(known) - 1
    return pd.Categorical.from_codes(codes, known)  # type: ignore[arg-type]  # arrays do too


class OrdinalCategories(OrdinalEncoder):  # type: ignore[misc]  # scikit-learn is untyped
    """scikit-learn's ordinal encoder, to which None is a gap like NaN: it stays one."""

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - sklearn's name
        """Learn the categories of every column."""
        super().fit(_with_nan(X), y)
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803 - sklearn's name
        """Return codes, shape (n_rows, n_columns); gaps are NaN."""
        codes = super().transform(_with_nan(X))
        codes[pd.isna(np.asarray(X, dtype=object))] = np.nan  # also where there was none to learn
        return codes


def _with_nan(rows: Any) -> Any:
    if not isinstance(rows, pd.DataFrame):
        return rows
    return rows.astype(object).where(rows.notna(), np.nan)


class HashedCategories(Categorical):
    """Spread the categories of all columns over a fixed number of signed, sparse columns.

    What a category falls on depends on its column and text alone, so there are no unseen ones
    [1]_. Missing values fall on no column.

    References
    ----------
    .. [1] Weinberger et al. (2009), "Feature hashing for large scale multitask learning".
    """

    def __init__(self, n_features: int = 256) -> None:
        self.n_features = n_features

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803 - sklearn's names
        """Learn the names."""
        self._texts(X, reset=True)
        return self

    def transform(self, X: Any) -> sparse.csr_matrix:  # noqa: N803 - sklearn's name
        """Return shape (n_rows, n_features)."""
        check_is_fitted(self)
        frame = self._texts(X, reset=False)
        shape = (len(frame), self.n_features)
        total = sparse.csr_matrix(shape)
        for place, name in enumerate(frame.columns):
            total = total + self._hashed(frame[name], place, shape)
        return total

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002 - sklearn's name
        """Name the columns `hash0`, `hash1`, …."""
        check_is_fitted(self)
        return np.asarray([f"hash{place}" for place in range(self.n_features)], dtype=object)

    def _hashed(self, values: pd.Series[Any], place: int, shape: tuple[int, int]) -> Any:
        present = np.flatnonzero(values.notna().to_numpy())
        texts = values.iloc[present].astype(str).to_numpy(dtype=object)
        salt = f"{place:016d}"[-16:]
        hashes = pd.util.hash_array(texts, hash_key=salt)
        columns = (hashes >> np.uint64(1)) % np.uint64(self.n_features)
        signs = np.where(hashes & np.uint64(1), 1.0, -1.0)
        return sparse.csr_matrix((signs, (present, columns.astype(np.intp))), shape=shape)
