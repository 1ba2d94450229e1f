"""The parts of a run record that do not depend on what the run computes."""

from __future__ import annotations

import datetime
import shlex
from typing import Any

from fracpool import environment, identity
from fracpool.architecture import Network
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
        "command": shlex.join(["python", "-m", "fracpool.train", *identity.overrides(settings)]),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
