"""Formulas over columns: arithmetic, comparisons and a few functions, and nothing else.

A formula is read as Python and walked node by node; what is not on the list below does not
run. Numbers are float64 throughout, so that no power can eat the machine.
"""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.tabular.errors import UnknownColumnError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

MAX_LENGTH = 1_000
"""Characters of a formula."""

_MAX_DEPTH = 50
_GREATEST = 1e300

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "abs": (1, np.abs),
    "sqrt": (1, np.sqrt),
    "exp": (1, np.exp),
    "log": (1, np.log),
    "log1p": (1, np.log1p),
    "sin": (1, np.sin),
    "cos": (1, np.cos),
    "tan": (1, np.tan),
    "floor": (1, np.floor),
    "ceil": (1, np.ceil),
    "round": (1, np.round),
    "sign": (1, np.sign),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
}
_COLUMN = "col"
"""`col("unit price")` is a column whose name is no Python name."""


class ExpressionError(ValueError):
    """A formula holds something that formulas must not hold."""


def parse(formula: str, known: tuple[str, ...] | None = None) -> ast.expr:
    """Read a formula and check every part of it.

    Parameters
    ----------
    formula : str
        Such as `a / (b + 1)` or `log1p(col("unit price")) if a > 0 else 0`.
    known : tuple of str, optional
        The columns there are.

    Raises
    ------
    ExpressionError
        If it is no formula, or holds what is not allowed.
    UnknownColumnError
        If it names a column that is not `known`.

    Examples
    --------
    >>> columns_of(parse("a / (b + 1)"))
    ('a', 'b')
    >>> parse("__import__('os')")
    Traceback (most recent call last):
    tasks.tabular.errors.UnknownNameError: there is no function '__import__'; there are: abs, ...
    """
    if len(formula) > MAX_LENGTH:
        raise ExpressionError(f"a formula of {len(formula)} characters, {MAX_LENGTH} at most")
    try:
        body = ast.parse(formula.strip(), mode="eval").body
        _check(body, 0)
    except (ExpressionError, UnknownNameError):
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or "it is nested too deeply"
        raise ExpressionError(f"{formula[:80]!r} is no formula: {reason}") from error
    if known is not None:
        for name in columns_of(body):
            if name not in known:
                raise UnknownColumnError(name, known)
    return body


def columns_of(node: ast.expr) -> tuple[str, ...]:
    """Return the columns a formula names, each once, in order."""
    found: list[str] = []
    called = {id(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and id(each) not in called:
            found.append(each.id)
        elif _is_column(each):
            found.append(each.args[0].value)  # type: ignore[attr-defined]  # `_check` saw to it
    return tuple(dict.fromkeys(found))


def evaluate(node: ast.expr, columns: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Compute a parsed formula, shape (n_rows,) or scalar; what is not finite is missing."""
    with np.errstate(all="ignore"):
        values = np.asarray(_value(node, columns), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _check(node: ast.AST, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ExpressionError(f"a formula nested deeper than {_MAX_DEPTH}")
    if isinstance(node, ast.Call):
        _check_call(node)
        parts: list[ast.AST] = [] if _is_column(node) else list(node.args)
    else:
        parts = _parts(node)
    for part in parts:
        _check(part, depth + 1)


def _parts(node: ast.AST) -> list[ast.AST]:
    """Return what a node is made of, or refuse it."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in _BINARY:
            return [left, right]
        case ast.UnaryOp(op, operand) if type(op) in _UNARY:
            return [operand]
        case ast.Compare(left, [op], [right]) if type(op) in _COMPARE:
            return [left, right]
        case ast.IfExp(test, body, orelse):
            return [test, body, orelse]
        case ast.Name():
            return []
        case ast.Constant(value) if isinstance(value, int | float) and abs(value) < _GREATEST:
            return []
        case _:
            raise ExpressionError(
                f"{ast.unparse(node)[:80]!r} is not allowed in a formula; there are numbers, "
                "columns, + - * / // % **, comparisons, `a if b else c` and "
                f"{', '.join(_FUNCTIONS)}"
            )


def _check_call(node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name) or node.keywords:
        raise ExpressionError(f"{ast.unparse(node)[:80]!r} is not allowed in a formula")
    name = node.func.id
    if name == _COLUMN and not _is_column(node):
        raise ExpressionError(f'{_COLUMN} takes the name of one column: {_COLUMN}("unit price")')
    if name != _COLUMN and name not in _FUNCTIONS:
        raise UnknownNameError("function", name, tuple(_FUNCTIONS))
    if name in _FUNCTIONS and len(node.args) != _FUNCTIONS[name][0]:
        raise ExpressionError(f"{name} takes {_FUNCTIONS[name][0]} values and got {len(node.args)}")


def _is_column(node: ast.AST) -> bool:
    match node:
        case ast.Call(ast.Name("col"), [ast.Constant(str())], []):
            return True
    return False


def _value(node: ast.AST, columns: Mapping[str, NDArray[np.float64]]) -> Any:  # noqa: PLR0911 - a node, a line
    match node:
        case ast.BinOp(left, op, right):
            return _BINARY[type(op)](_value(left, columns), _value(right, columns))
        case ast.UnaryOp(op, operand):
            return _UNARY[type(op)](_value(operand, columns))
        case ast.Compare(left, [op], [right]):
            one, other = _value(left, columns), _value(right, columns)
            holds = np.asarray(_COMPARE[type(op)](one, other), dtype=np.float64)
            return np.where(np.isnan(one) | np.isnan(other), np.nan, holds)
        case ast.IfExp(test, body, orelse):
            holds = _value(test, columns)
            chosen = np.where(holds != 0, _value(body, columns), _value(orelse, columns))
            return np.where(np.isnan(holds), np.nan, chosen)
        case ast.Call(ast.Name("col"), [ast.Constant(str(name))]):
            return columns[name]
        case ast.Call(ast.Name(name), arguments):
            return _FUNCTIONS[name][1](*(_value(each, columns) for each in arguments))
        case ast.Name(name):
            return columns[name]
        case ast.Constant(int(value) | float(value)):
            return np.float64(value)
    raise ExpressionError(f"{ast.dump(node)[:80]} is no part of a formula")
