"""Published figures, the experiments that reproduce them, and what came out."""

from vaelab.reproduce.papers import Difference, Figure, Order, Paper, Short, read_paper, read_papers
from vaelab.reproduce.verdicts import Verdict, over_seeds, verdicts
from vaelab.reproduce.work import run_of, values_of

__all__ = [
    "Difference",
    "Figure",
    "Order",
    "Paper",
    "Short",
    "Verdict",
    "over_seeds",
    "read_paper",
    "read_papers",
    "run_of",
    "values_of",
    "verdicts",
]
