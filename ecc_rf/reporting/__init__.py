"""The page that tells what a run found, and what it is drawn from."""

from ecc_rf.reporting.projections import masked_share
from ecc_rf.reporting.report import summary, write_report

__all__ = ["masked_share", "summary", "write_report"]
