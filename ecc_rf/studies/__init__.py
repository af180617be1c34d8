"""Studies: markers x brains, run as far as they are not done, with one table and one page of all."""

from ecc_rf.studies.batch import Plan, plan_study, run_study
from ecc_rf.studies.running import Machine, Outcome
from ecc_rf.studies.study import Brain, Marker, Study

__all__ = ["Brain", "Machine", "Marker", "Outcome", "Plan", "Study", "plan_study", "run_study"]
