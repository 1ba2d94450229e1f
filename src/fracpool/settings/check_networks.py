"""What the networks with a form of their own take of a model's settings: Graham's and airbench's."""

from __future__ import annotations

from fracpool.settings.poolings import POOLINGS
from fracpool.settings.refusal import one_of, require
from fracpool.settings.schema import ModelSettings, PoolSettings


def check_graham(model: ModelSettings, pool: PoolSettings) -> None:
    """What Graham's network, (kn C2 − FMP α)l − C2 − C1, takes: l is model.conv_layers, α pool.ratio; his earlier ones
    have 2×2 max pools (Graham, Spatially-sparse convolutional neural networks, arXiv 1409.6070)."""
    require(model.k is not None and 1 <= model.k <= 4096, "model.k", model.k, "a whole number from 1 to 4096")
    kinds = [*(kind for kind, pooling in POOLINGS.items() if "ratio" in pooling.settings), "max", "average"]
    require(pool.kind in kinds, "pool", pool.kind, f"{one_of(kinds)} with model.k: Graham's networks")
    require(model.kernel >= 2, "model.kernel", model.kernel, "at least 2 with model.k; Graham's is 2")
    for name in ("pools", "pad_to"):  # a pool after each of the l convolutions; the input's size follows from l and α
        require(getattr(model, name) is None, f"model.{name}", getattr(model, name), "null with model.k")
    require(not model.pointwise, "model.pointwise", model.pointwise, "false with model.k")
    require(not model.dropout, "model.dropout", model.dropout, "0 with model.k, which has model.dropout_ramp")
    ramp, count = model.dropout_ramp, model.conv_layers + 2
    require(
        len(ramp) in (0, count), "model.dropout_ramp", ramp, f"[] or {count} rates, of model.conv_layers + 2 layers"
    )
    require(all(0 <= rate < 1 for rate in ramp), "model.dropout_ramp", ramp, "rates from 0 to below 1")


def check_airbench(model: ModelSettings) -> None:
    """What airbench's network takes; without it, that nothing of it is given."""
    widths, convolutions = model.widths, model.conv_layers
    if not widths:
        require(not model.whiten_epochs, "model.whiten_epochs", model.whiten_epochs, "0 without model.widths")
        return
    require(all(1 <= width <= 65536 for width in widths), "model.widths", widths, "widths from 1 to 65536")
    require(convolutions == 2 * len(widths), "model.conv_layers", convolutions, f"{2 * len(widths)}, 2 for each width")
    allowed = f"{len(widths)} (one in each block) or {convolutions} (after each convolution) with model.widths"
    require(model.pools in (None, len(widths), convolutions), "model.pools", model.pools, allowed)
    require(model.whiten_epochs >= 0, "model.whiten_epochs", model.whiten_epochs, "a whole number ≥ 0")
    require(model.batch_norm, "model.batch_norm", model.batch_norm, "true with model.widths")
    idle: dict[str, object] = {"k": None, "pad_to": None, "pointwise": False, "dropout": 0.0, "dense": []}
    for name, value in {**idle, "centre": False, "distort": False}.items():
        given = getattr(model, name)
        require(given == value, f"model.{name}", given, f"{'null' if value is None else value} with model.widths")
