"""scikit-learn's trees written in LightGBM's text format, whose library then walks them.

The library compares float64 with `<=` and adds leaves in the trees' order, as scikit-learn does:
what scikit-learn computes on float32 features is computed on the same float32 values, and sums
are equal to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_NAN, _DEFAULT_LEFT = 8, 2
"""LightGBM's bits of a decision: gaps have a side of their own, and it is the left."""

_LEAST = 2e-35
"""Smaller thresholds than LightGBM tells from zero."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A binary tree: node 0 is the root, a row with at most `thresholds` goes left.

    `left` and `right` are nodes, -1 at leaves; `gaps_left` says where gaps go. All have shape
    (n_nodes,).
    """

    features: NDArray[np.intp]
    thresholds: NDArray[np.float64]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    gaps_left: NDArray[np.bool_]
    values: NDArray[np.float64]


def constant(value: float) -> Tree:
    """Return the tree that answers one value."""
    none = np.array([-1], dtype=np.intp)
    return Tree(none, np.zeros(1), none, none, np.zeros(1, dtype=bool), np.array([float(value)]))


def of_sklearn(tree: Any, values: NDArray[np.float64]) -> Tree:
    """Return one of scikit-learn's fitted trees (`tree_`) with the given node values."""
    gaps = np.asarray(getattr(tree, "missing_go_to_left", np.zeros(tree.node_count)), dtype=bool)
    return Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, gaps, values)


def of_histogram(predictor: Any) -> Tree:
    """Return a tree of scikit-learn's histogram gradient boosting, without categories."""
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    if nodes["is_categorical"].any():
        raise ValueError("its trees split by categories")

    def child(name: str) -> NDArray[np.intp]:
        return np.where(leaf, -1, nodes[name].astype(np.intp))

    return Tree(
        nodes["feature_idx"].astype(np.intp),
        nodes["num_threshold"].astype(np.float64),
        child("left"),
        child("right"),
        nodes["missing_go_to_left"].astype(bool),
        nodes["value"].astype(np.float64),
    )


def write(trees: Iterable[Tree], *, features: int, outputs: int) -> str:
    """Write trees, `outputs` of them in turn for the sums of every output, as a model's text."""
    head = [
        "tree",
        "version=v4",
        f"num_class={outputs}",
        f"num_tree_per_iteration={outputs}",
        "label_index=0",
        f"max_feature_idx={features - 1}",
        f"feature_names={' '.join(f'f{place}' for place in range(features))}",
        f"feature_infos={' '.join(['[-inf:inf]'] * features)}",
        "",
    ]
    written = [_written(tree, place) for place, tree in enumerate(trees)]
    return "\n".join([*head, *written, "end of trees", ""])


def _written(tree: Tree, place: int) -> str:
    inner = np.flatnonzero(tree.left >= 0)
    sizes = np.abs(tree.thresholds[inner])
    if ((sizes > 0) & (sizes < _LEAST)).any():
        raise ValueError("its trees split at numbers that are nearly nothing")
    leaves = np.flatnonzero(tree.left < 0)
    lines = [f"Tree={place}", f"num_leaves={len(leaves)}", "num_cat=0"]
    if len(inner):
        number = np.empty(len(tree.left), dtype=np.intp)
        number[inner] = np.arange(len(inner))
        number[leaves] = ~np.arange(len(leaves))
        decisions = _NAN + _DEFAULT_LEFT * tree.gaps_left[inner].astype(np.intp)
        zeros = np.zeros(len(inner), dtype=np.intp)
        lines += [
            f"split_feature={_joined(tree.features[inner])}",
            f"split_gain={_joined(zeros)}",
            f"threshold={_joined(tree.thresholds[inner])}",
            f"decision_type={_joined(decisions)}",
            f"left_child={_joined(number[tree.left[inner]])}",
            f"right_child={_joined(number[tree.right[inner]])}",
        ]
    counts = np.ones(len(leaves), dtype=np.intp)
    lines += [
        f"leaf_value={_joined(tree.values[leaves])}",
        f"leaf_weight={_joined(counts)}",
        f"leaf_count={_joined(counts)}",
    ]
    if len(inner):
        lines += [
            f"{name}={_joined(zeros)}"
            for name in ("internal_value", "internal_weight", "internal_count")
        ]
    return "\n".join([*lines, "is_linear=0", "shrinkage=1", "", ""])


def _joined(values: Sequence[Any] | NDArray[Any]) -> str:
    """Return numbers as text that reads back to the bit."""
    return " ".join(map(repr, np.asarray(values).tolist()))
