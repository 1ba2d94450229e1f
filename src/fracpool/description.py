"""The parts of a run record that do not depend on what the run computes."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from fracpool import environment, identity
from fracpool.architecture import Network
from fracpool.plain_text import text
from fracpool.records import Record
from fracpool.settings import Settings


def describe(settings: Settings, run_id: str, network: Network) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "variant_id": identity.variant_id(settings),
        "label": identity.label(settings),
        "seed": settings.seed,
        "config": identity.config(settings),
        "geometry": network.as_record(),
        "environment": environment.describe(),
        "code_fingerprint": identity.code_fingerprint(),
        "results_version": identity.RESULTS_VERSION,
        "command": environment.command(identity.overrides(settings)),
    }


def maker() -> dict[str, str]:
    """What computes the results of this process: records and checkpoints of another are told apart."""
    return _maker(identity.code_fingerprint(), environment.packages())


def maker_of(record: Record) -> dict[str, str]:
    """The same of a record."""
    packages = record.data.get("environment")
    return _maker(record.data.get("code_fingerprint"), packages if isinstance(packages, dict) else {})


def _maker(code: Any, packages: Mapping[str, Any]) -> dict[str, str]:
    told = {"code": code, **{name: packages.get(name) for name in ("fracpool", "tensorflow", "keras", "numpy")}}
    return {name: text(value) for name, value in told.items()}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
