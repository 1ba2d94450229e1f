"""The regions of fractional pools: `fracpool.regions`, which users import. They are in `fracpool.pooling.regions`."""

from fracpool.pooling.regions import (
    even_boundaries,
    fixed_starts,
    largest_u,
    pseudorandom_boundaries,
    random_boundaries,
    random_starts,
)

__all__ = [
    "even_boundaries",
    "fixed_starts",
    "largest_u",
    "pseudorandom_boundaries",
    "random_boundaries",
    "random_starts",
]
