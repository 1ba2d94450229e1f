"""Verdicts in the words that people read: what became of a claim, never without budget and form of test.

`verdict` says whether a claim's test was passed; these words say how it missed, too:

- reproduced: the test shows what was claimed.
- smaller than claimed: in the claimed direction, or not told from 0, but shown to be less than the claim.
- larger than claimed: shown to be more than the claim, in its direction; ahead, where level was claimed.
- opposite: shown to lie on the other side of 0; behind, where level was claimed.
- undecided: the runs at hand show neither.
- not run; not run at the claimed length: missed, after a shorter training than the claim was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fracpool.findings.rules.part import INCONCLUSIVE, NOT_REPRODUCED, NOT_RUN, REPRODUCED, Part

SMALLER, LARGER, OPPOSITE = "smaller than claimed", "larger than claimed", "opposite"
UNDECIDED, TOO_SHORT = "undecided", "not run at the claimed length"
WORDS = (REPRODUCED, SMALLER, LARGER, OPPOSITE, UNDECIDED, NOT_RUN, TOO_SHORT)
# Of counted parts that miss a claim in several ways, the word of the finding.
GRAVEST = (OPPOSITE, SMALLER, LARGER, TOO_SHORT)


def word(part: Part) -> str:
    """What became of a part's claim."""
    if part.verdict == NOT_REPRODUCED:
        is_short = part.claimed_epochs is not None and part.epochs is not None and part.epochs < part.claimed_epochs
        return TOO_SHORT if is_short else _MISSES.get(part.kind, _opposite)(part)
    return UNDECIDED if part.verdict == INCONCLUSIVE else part.verdict


def word_over(verdict: str, counted: Sequence[Part]) -> str:
    """The word of a finding with this verdict: that of the parts that miss the claim, the gravest where they differ."""
    if verdict != NOT_REPRODUCED:
        return UNDECIDED if verdict == INCONCLUSIVE else verdict
    missed = {word(part) for part in counted if part.verdict == NOT_REPRODUCED}
    return next((each for each in GRAVEST if each in missed), OPPOSITE)


def told(word_: str, part: Part | None) -> str:
    """With the number of seeds where they are too few: undecided at n = 3."""
    n = part.numbers.get("n") if part else None
    return f"{word_} at n\u00a0=\u00a0{n}" if word_ == UNDECIDED and n else word_


# ---- how a claim is missed, by the kind of its part ----


def _opposite(_: Part) -> str:
    return OPPOSITE


def _gap(part: Part) -> str:
    """Of a claimed range of differences: on which side of it, and of 0, the difference lies."""
    low, high, seen = (part.numbers[name] for name in ("judged_low", "judged_high", "difference"))
    if low < 0 < high and abs(low + high) < 1e-12:
        return LARGER if seen > high else OPPOSITE
    claimed_below = low + high < 0
    if (part.numbers["low"] > 0) if claimed_below else (part.numbers["high"] < 0):
        return OPPOSITE
    is_beyond = seen < low if claimed_below else seen > high
    return LARGER if is_beyond else SMALLER


def _better(part: Part) -> str:
    return OPPOSITE if part.numbers["high"] < 0 else SMALLER


def _since(part: Part) -> str:
    last = part.numbers["values"][-1]
    if part.numbers["relation"] == "level":
        return LARGER if last["difference"] > 0 else OPPOSITE
    return OPPOSITE if last["high"] < 0 else SMALLER


def _final_size(part: Part) -> str:
    seen = part.numbers["final_height"], part.numbers["final_width"]
    return LARGER if max(seen) > part.numbers["claimed"] else SMALLER


def _smaller(_: Part) -> str:
    return SMALLER


_MISSES: dict[str, Callable[[Part], str]] = {
    "gap": _gap,
    "comparable": _gap,
    "better": _better,
    "since": _since,
    "final_size": _final_size,
    "reaches": _smaller,
}
