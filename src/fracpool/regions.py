"""The regions of fractional pools: `fracpool.regions`, which users import. They are in `fracpool.pooling.regions`."""

from fracpool.pooling.regions import fixed_starts, largest_u, pseudorandom_boundaries, random_boundaries

__all__ = ["fixed_starts", "largest_u", "pseudorandom_boundaries", "random_boundaries"]
