"""What the interpolations of a composed config stand for, as overrides."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig, ListConfig, OmegaConf

from fracpool.settings.config_files import override_value, quoted


def overrides(node: DictConfig, prefix: str = "", inside: bool = False) -> Iterator[str]:
    """An override for each field whose value is interpolated, or that lies in a node that is: a worker is told the
    values, since ${now:…} or ${oc.env:…} may be others where it runs."""
    for key in map(str, node):
        field, value = f"{prefix}{key}", node[key]
        found = inside or OmegaConf.is_interpolation(node, key)
        if isinstance(value, DictConfig):
            if field != "experiment":  # which says what is asked, and computes nothing
                yield from overrides(value, f"{field}.", found)
        elif isinstance(value, ListConfig):
            if found or any(OmegaConf.is_interpolation(value, item) for item in range(len(value))):
                yield f"++{field}={override_value(OmegaConf.to_container(value, resolve=True))}"
        elif found:
            yield f"++{field}={quoted(value) if isinstance(value, str) else override_value(value)}"
