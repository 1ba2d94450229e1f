"""The rules by which a comparison of a finding is judged, by its kind (ALPHA = 5 %; a − b is paired by seed):

- `final_size` (variant, size): reproduced if the map before the dense layers is size × size, else not.
- `gap` (a, b, range, margin, at, metric): the claim is that a − b lies in `range`, widened by `margin` on both
  sides since claims come without an interval. Reproduced if two one-sided tests place the mean inside; not
  reproduced if a test places it outside.
- `comparable` (a, b, margin, at, metric): the same with the range −margin … margin.
- `better` (a, b, margin, at, metric): reproduced if a one-sided test finds a − b > 0; not reproduced if it
  finds a − b < margin, the smallest advantage worth the name.
  With `match: final_size` in place of fixed variants, every pair of variants with equal final size is compared,
  where `a` and `b` select sets, and a is the one with more convolutions.
- `reaches` (variant, level, margin, at, metric): the claim is that the accuracy is at least `level`, less `margin`,
  since claims come without an interval. Reproduced if a one-sided test finds the mean above that, not reproduced if it
  finds it below.
- `ranking` (variants, first, at, metric): the claim is that `first`, one of the set `variants`, has the highest mean.
  Reproduced if one-sided tests find it above each of the others (the largest p-value counts); not reproduced if
  they find another above it (the smallest, times the number of others), or it below the mean of the others, which the
  best of a set is not (the smaller of the two, doubled). Beside it stand all of them in order, with
  intervals of mean and place, and the probability that `first` improves on each.
- `improvement` (a, b, tasks, at, metric): a and b select one variant for each value of the setting `tasks`. The claim
  is that a run of a more often than not scores above one of b, on average over the tasks: reproduced if a permutation
  test finds that probability of improvement (rliable) above ½; not reproduced if it finds it below.
- `since` (a, b, along, relation, margin, metric): a and b select one variant for each value of a setting, `along`, such
  as budget.epochs. The claim is that from some value on a is level with b (`relation: level`, as `comparable`) or ahead
  of it (`ahead`, as `better`): reproduced if there is a value from which on that is shown at every value, corrected
  over the values (Holm); not reproduced if it is refuted at the last one.
- `check` (variant, metric, limit, above): every run's |metric| is at most `limit` (with above: more than it);
  limit is a number or the name of another metric of the record.

What keys a kind has is in `fracpool.settings.findings_schema`, how a, b and variant select in `selectors` beside it.
`at` is an epoch, `end` (default), or a list of these: a list makes one part of each. `metric` is test_accuracy (one
test pass, default) or, at the end only, averaged_accuracy (repeated passes), deterministic_accuracy (one pass over even
regions), views_accuracy (views of the images), even_views_accuracy (the same over even regions), or another share that
`findings_schema.METRICS` has; of gap, comparable, better and since `metric_b` is that of b, where it is another.

Every kind may say `title`, `counts` (false: judged beside the verdict), `headline` (the first screen is made from it),
`answer` (a claim of the answer in its own words: a row of the first screen's table) and `claimed_epochs` (for which
length of training the claim was made: a shorter one refutes nothing).

Otherwise, and with fewer than MIN_SEEDS common seeds, the part is inconclusive. The p-values that a rule gives are
corrected and turned into a verdict where the parts of a finding are read together (`fracpool.findings.verdicts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fracpool.findings.rules.along import since
from fracpool.findings.rules.facts import check, final_size
from fracpool.findings.rules.paired import better, comparable, gap, matched_parts
from fracpool.findings.rules.part import INCONCLUSIVE, Part, attempt
from fracpool.findings.rules.unpaired import improvement, ranking, reaches
from fracpool.records.plain_text import text
from fracpool.settings import findings_schema
from fracpool.settings.refusal import SettingsError
from fracpool.table.experiment import Experiment
from fracpool.table.results import Results


def judge_part(results: Results, experiment: Experiment, spec: Mapping[str, Any]) -> list[Part]:
    """What is compared, held against its claim by the rule of its kind; several parts where the rule matches pairs.

    `tests` has the p-values of a rule that has any; they become a verdict in `fracpool.findings.verdicts`.
    """
    kind = str(spec.get("kind"))
    part = Part(text(kind, 40), text(spec.get("title") or kind), bool(spec.get("counts", True)))
    part.headline, part.answer = spec.get("headline") is True, text(spec.get("answer") or "")
    try:
        findings_schema.check_part(spec, "part", known_only=False)  # a sweep did before it ran; a file may be anyone's
    except SettingsError as error:
        part.verdict, part.reason = INCONCLUSIVE, text(error, 300)
        return [part]
    if kind == "better" and spec.get("match") == "final_size":
        return matched_parts(results, experiment, spec, part)
    part.claimed_epochs = spec.get("claimed_epochs")
    attempt(part, partial(KINDS[kind], results, experiment, spec, part))
    return [part]


KINDS: dict[str, Callable[[Results, Experiment, Mapping[str, Any], Part], None]] = {
    "final_size": final_size,
    "gap": gap,
    "comparable": comparable,
    "better": better,
    "reaches": reaches,
    "ranking": ranking,
    "improvement": improvement,
    "since": since,
    "check": check,
}
