"""Which classifier a project asks for.

ilastik keeps this as pickles of Python objects in text form. They are never unpickled here, only searched; what is
written is the one text that ilastik itself writes for its parallel random forest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CLASSIFIER_TYPE = "clazyflow.classifiers.parallelVigraRfLazyflowClassifier\nParallelVigraRfLazyflowClassifier\np0\n."
"""What `ClassifierForests/pickled_type` says of a parallel random forest."""

_FACTORY = (
    "ccopy_reg\n_reconstructor\np0\n(clazyflow.classifiers.parallelVigraRfLazyflowClassifier\n"
    "ParallelVigraRfLazyflowClassifierFactory\np1\nc__builtin__\nobject\np2\nNtp3\nRp4\n(dp5\nVVERSION\np6\nI2\n"
    "sV_num_trees\np7\nI{trees}\nsV_label_proportion\np8\nNsV_variable_importance_path\np9\nN"
    "sV_variable_importance_enabled\np10\nI00\nsV_kwargs\np11\n(dp12\nsV_num_forests\np13\nI{forests}\nsb."
)
_LONGEST = 10_000  # characters that are searched: real ones have a few hundred
_CLASS = re.compile(r"lazyflow\.classifiers\.\w+\s+(\w+)")
_SKLEARN_CLASS = re.compile(r"classifier_type.*?csklearn\.[\w.]+\s+(\w+)", re.DOTALL)
# S'_num_trees' from Python 2, V_num_trees from Python 3; then the place in the pickle's memo, then the value
_NUMBER = r"(?:V{name}|S'{name}')\s+p\d+\s+s?I(\d{{1,9}})\b"
_PROPORTION = re.compile(r"(?:V_label_proportion|S'_label_proportion')\s+p\d+\s+F([\d.eE+-]{1,30})\s")


@dataclass(frozen=True)
class ClassifierType:
    """The classifier that the project is to be trained with.

    Attributes
    ----------
    name : str
        Class name of its factory in ilastik, or of the scikit-learn estimator; empty if none was found.
    n_trees, n_forests : int or None
        None if not stated: then ilastik takes 100 trees.
    label_proportion : float or None
        Share of the labelled voxels to train on; None for all.
    """

    name: str
    n_trees: int | None
    n_forests: int | None
    label_proportion: float | None


def parse_factory(text: str) -> ClassifierType:
    """Search the text of `ClassifierFactory`.

    >>> parse_factory(factory_text(100, 8))
    ClassifierType(name='ParallelVigraRfLazyflowClassifierFactory', n_trees=100, n_forests=8, label_proportion=None)
    """
    text = text[:_LONGEST]
    sklearn = _SKLEARN_CLASS.search(text)
    proportion = _PROPORTION.search(text)
    try:
        share = float(proportion[1]) if proportion else None
    except ValueError:
        share = None
    return ClassifierType(
        name=sklearn[1] if sklearn else class_name(text),
        n_trees=_number(text, "_num_trees"),
        n_forests=_number(text, "_num_forests"),
        label_proportion=share,
    )


def class_name(text: str) -> str:
    """Name of the lazyflow class that a pickle's text names; empty if none.

    >>> class_name(CLASSIFIER_TYPE)
    'ParallelVigraRfLazyflowClassifier'
    """
    found = _CLASS.search(text[:_LONGEST])
    return found[1] if found else ""


def _number(text: str, name: str) -> int | None:
    found = re.search(_NUMBER.format(name=name), text)
    return int(found[1]) if found else None


def factory_text(n_trees: int, n_forests: int) -> str:
    """The text of `ClassifierFactory` for a parallel random forest."""
    return _FACTORY.format(trees=int(n_trees), forests=int(n_forests))
