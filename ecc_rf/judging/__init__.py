"""A person judges a sample of the candidates: is this a cell?"""

from ecc_rf.judging.candidates import CandidateVolume, find_candidates
from ecc_rf.judging.job import Sheet, write_sheet
from ecc_rf.judging.judgements import Judged, collect, read_judgements
from ecc_rf.judging.sampling import Sample, draw_sample

__all__ = [
    "CandidateVolume",
    "Judged",
    "Sample",
    "Sheet",
    "collect",
    "draw_sample",
    "find_candidates",
    "read_judgements",
    "write_sheet",
]
