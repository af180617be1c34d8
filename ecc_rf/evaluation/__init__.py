"""How many cells were found: detections against cells that a person marked."""

from ecc_rf.evaluation.evaluate import Case, Evaluation, cases_of, evaluate
from ecc_rf.evaluation.matching import MatchingRule, Score, match
from ecc_rf.evaluation.truth import Truth, read_truth

__all__ = ["Case", "Evaluation", "MatchingRule", "Score", "Truth", "cases_of", "evaluate", "match", "read_truth"]
