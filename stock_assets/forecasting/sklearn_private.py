"""The part of scikit-learn that it keeps to itself: a tree's nodes.

A fitted tree shows its arrays (`tree_.children_left` and others); there is no public way to make a
tree of arrays, which is what a forest of few arrays needs. Pickle would be scikit-learn's own.
"""

from typing import Any

import numpy as np
from sklearn.tree._tree import Tree

TREE_TYPE = "sklearn.tree._tree.Tree"
"""As a stored model names it."""


def state_of(tree: Any) -> dict[str, Any]:
    """What a tree consists of: `max_depth`, `node_count`, `nodes`, `values`."""
    state: dict[str, Any] = tree.__getstate__()
    return state


def tree_of(n_features: int, state: dict[str, Any]) -> Any:
    """A tree for one output of that state; scikit-learn does not look where its nodes lead."""
    tree = Tree(n_features, np.ones(1, np.intp), 1)
    tree.__setstate__(state)
    return tree
