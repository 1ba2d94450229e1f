"""Whether a sweep can answer what its experiment asks: the findings held against the networks of the plan."""

from __future__ import annotations

from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser

from fracpool.records.plain_text import cut
from fracpool.settings import identity, unmet_findings
from fracpool.settings.names import flatten
from fracpool.settings.refusal import SettingsError
from fracpool.sweep.grid import Plan

MOST_UNJUDGED = 5  # parts of findings that are told one by one


def remarks(whole: Plan, given: list[str], has_grid: bool) -> list[str]:
    """Lines on what the findings ask for and the sweep, as the overrides `given` changed it, does not have.

    Raises:
        SettingsError: a finding asks for what the experiment's own grid does not have.
    """
    changed = OverridesParser.create().parse_overrides(given)
    lines = []
    if whole.settings.experiment.name and not has_grid and not any(o.is_sweep_override() for o in changed):
        lines.append("one run: the experiment has no grid; one under hydra.sweeper.params, such as pool: max,fmp")
    runs = {identity.variant_id(point.run.settings): point.run.settings for point in whole.points}
    networks = [flatten(identity.config(settings)) for settings in runs.values()]
    impossible = [flatten(identity.config(one.settings)) for one in whole.impossible]
    unjudged = []
    for missing in unmet_findings.unmet(whole.settings.experiment.findings, networks, impossible):
        if not _is_of(missing.about, [override.key_or_group for override in changed]):
            raise SettingsError(missing.line)
        unjudged.append(f"not judged: {missing.line}")
    return [*lines, *cut(unjudged, MOST_UNJUDGED)]


def _is_of(settings: Iterable[str], changed: list[str]) -> bool:
    """Whether the command line changed one of these settings, or what is left out of the grid."""
    return any(
        setting == key or setting.startswith(f"{key}.") or key.startswith("experiment.leave_out")
        for setting in settings
        for key in changed
    )
