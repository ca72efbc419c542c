"""LightGBM's and XGBoost's own libraries, called without their Python packages.

Importing those packages takes seconds and a hundred megabytes (pandas, scikit-learn); predicting
needs their shared library alone, which `ctypes` loads from where the package is installed.
"""

from __future__ import annotations

import ctypes
import json
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np

from tasks.tabular.plans.blocks import LEAST_ROWS, in_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOAT64, _ROW_MAJOR = 1, 1
_LEAVES = 2
_ONE_THREAD = b"num_threads=1"
_SUFFIXES = {"darwin": "dylib", "win32": "dll"}

_Pointer = ctypes.c_void_p


class NativeError(RuntimeError):
    """A native library is absent, or refuses a call."""


class LightGBMTrees:
    """Trees in LightGBM's text format; answers are the same to the bit as through its package.

    Parameters
    ----------
    text : str
        The model.
    features, outputs : int
        Columns read, and values answered per row.
    raw : bool
        Whether sums of leaves are answered, without the objective's link.
    threads : int, default 1
        Used for many rows.
    """

    def __init__(
        self, text: str, features: int, outputs: int, *, raw: bool, threads: int = 1
    ) -> None:
        self._kind, self._outputs = int(raw), outputs
        self._whole = _Booster(text, features, threads)
        self._single = _SingleRow(self._whole, features, outputs, self._kind)
        cut = in_blocks(text, raw=raw)
        self._blocks = [_Booster(each, features, threads) for each in cut[0]] if cut else []
        self._sums = cut[1] if cut else None

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Answer rows, shape (n_rows, n_features), by shape (n_rows, n_outputs)."""
        if len(rows) == 1:
            return self._single.predict(rows)
        given = np.ascontiguousarray(rows, dtype=np.float64)
        if self._sums is not None and len(given) >= LEAST_ROWS:
            with suppress(OverflowError):  # LightGBM's own link bears such sums
                return self._sums.predict(each.leaves(given) for each in self._blocks)
        return self._whole.ask(given, self._kind, self._outputs)


class _Booster:
    """A model in LightGBM's library, which any number of threads may ask."""

    def __init__(self, text: str, features: int, threads: int) -> None:
        self._library = _load("lightgbm", "lib_lightgbm")
        self._features = features
        self._threads = f"num_threads={threads}".encode()
        self._trees = text.count("\nTree=")
        self.handle = _Pointer()
        self.call(
            "LGBM_BoosterLoadModelFromString",
            text.encode(),
            ctypes.byref(ctypes.c_int()),
            ctypes.byref(self.handle),
        )
        finalize(self, _free, self._library.LGBM_BoosterFree, self.handle)

    def leaves(self, given: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the leaf of every row in every tree, shape (n_rows, n_trees)."""
        return self.ask(given, _LEAVES, self._trees)

    def ask(self, given: NDArray[np.float64], kind: int, width: int) -> NDArray[np.float64]:
        """Answer contiguous rows by shape (n_rows, width)."""
        answer = np.empty((len(given), width))
        self.call(
            "LGBM_BoosterPredictForMat",
            self.handle,
            _Pointer(given.ctypes.data),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(len(given)),
            ctypes.c_int32(self._features),
            ctypes.c_int(_ROW_MAJOR),
            ctypes.c_int(kind),
            ctypes.c_int(0),
            ctypes.c_int(-1),
            self._threads if len(given) >= LEAST_ROWS else _ONE_THREAD,
            ctypes.byref(ctypes.c_int64()),
            _Pointer(answer.ctypes.data),
        )
        return answer

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the library, or raise `NativeError`."""
        self.require(getattr(self._library, name)(*arguments))

    def require(self, status: int) -> None:
        """Raise `NativeError` with the library's words unless a call's status is 0."""
        if status:
            words: bytes = self._library.LGBM_GetLastError()
            raise NativeError(f"LightGBM: {words.decode(errors='replace')}")


class _SingleRow:
    """LightGBM's quick way for one row: everything about a call is settled before it."""

    def __init__(self, booster: _Booster, features: int, outputs: int, kind: int) -> None:
        library = _load("lightgbm", "lib_lightgbm")
        self._booster = booster  # not to be freed before
        self._lock = Lock()
        self._row = np.empty(features)
        self._answer = np.empty(outputs)
        self._length = ctypes.c_int64()
        fast = _Pointer()
        booster.call(
            "LGBM_BoosterPredictForMatSingleRowFastInit",
            booster.handle,
            ctypes.c_int(kind),
            ctypes.c_int(0),
            ctypes.c_int(-1),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(features),
            _ONE_THREAD,
            ctypes.byref(fast),
        )
        finalize(self, _free, library.LGBM_FastConfigFree, fast)
        self._predict = library.LGBM_BoosterPredictForMatSingleRowFast
        self._arguments = (
            fast,
            _Pointer(self._row.ctypes.data),
            ctypes.byref(self._length),
            _Pointer(self._answer.ctypes.data),
        )

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Answer one row, shape (1, n_features), by shape (1, n_outputs)."""
        with self._lock:
            self._row[:] = rows[0]
            self._booster.require(self._predict(*self._arguments))
            return self._answer.reshape(1, -1).copy()


class XGBoostTrees:
    """A booster of XGBoost, from the bytes of its model; answers are float32 as it gives them.

    Parameters
    ----------
    content : bytes
        The model in XGBoost's UBJSON.
    iterations : tuple of int
        First and last iteration, as `best_iteration` has them.
    """

    def __init__(
        self, content: bytes, outputs: int, iterations: tuple[int, int], *, threads: int = 1
    ) -> None:
        self._library = _load("xgboost", "libxgboost")
        self._library.XGBGetLastError.restype = ctypes.c_char_p
        self._outputs = outputs
        self._handle = _Pointer()
        self._call("XGBoosterCreate", None, ctypes.c_uint64(0), ctypes.byref(self._handle))
        finalize(self, _free, self._library.XGBoosterFree, self._handle)
        self._call(
            "XGBoosterLoadModelFromBuffer", self._handle, content, ctypes.c_uint64(len(content))
        )
        self._call("XGBoosterSetParam", self._handle, b"nthread", str(threads).encode())
        first, last = iterations
        self._config = (
            f'{{"type": 0, "training": false, "iteration_begin": {first}, "iteration_end": {last},'
            ' "missing": NaN, "strict_shape": true, "cache_id": 0}'
        ).encode()

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float32]:
        """Answer rows, shape (n_rows, n_features), by shape (n_rows, n_outputs)."""
        given = np.ascontiguousarray(rows, dtype=np.float64)
        interface = {
            "data": (given.ctypes.data, True),
            "shape": given.shape,
            "typestr": "<f8",
            "version": 3,
        }
        shape = ctypes.POINTER(ctypes.c_uint64)()
        dimensions = ctypes.c_uint64()
        found = ctypes.POINTER(ctypes.c_float)()
        self._call(
            "XGBoosterPredictFromDense",
            self._handle,
            json.dumps(interface).encode(),
            self._config,
            None,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(found),
        )
        size = len(given) * self._outputs
        answer = np.ctypeslib.as_array(found, shape=(size,)).reshape(len(given), self._outputs)
        return answer.copy()  # the library's own memory, until its next call

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments):
            words: bytes = self._library.XGBGetLastError()
            raise NativeError(f"XGBoost: {words.decode(errors='replace')[:500]}")


def _free(release: Any, handle: _Pointer) -> None:
    release(handle)


@cache
def _load(package: str, library: str) -> ctypes.CDLL:
    """Load a package's shared library without importing the package."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise NativeError(f"the package {package} is not installed")
    name = f"{library}.{_SUFFIXES.get(sys.platform, 'so')}"
    folder = Path(found.origin).parent
    for path in (folder / "lib" / name, folder / "bin" / name, folder / name):
        if path.is_file():
            loaded = ctypes.CDLL(str(path))
            if package == "lightgbm":
                loaded.LGBM_GetLastError.restype = ctypes.c_char_p
                loaded.LGBM_RegisterLogCallback(_SILENT)
            return loaded
    raise NativeError(f"the package {package} has no {name}")


_SILENT = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda _line: None)
"""Takes LightGBM's log lines; its errors come as errors."""
