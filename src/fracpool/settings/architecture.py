"""A network as plain data: its layers with their sizes, parameters and multiply-accumulates.

The same list is what reports print, what a sweep checks before it starts, and what `models` builds from, so
the three cannot disagree. No Keras here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from fracpool.pooling.sizes import graham_chain, graham_input, layer_ratio
from fracpool.settings import poolings
from fracpool.settings.layer_stack import Layer, Stack
from fracpool.settings.refusal import ImpossibleNetwork, SettingsError
from fracpool.settings.schema import ModelSettings, PoolSettings


@dataclass(frozen=True)
class Network:
    layers: tuple[Layer, ...]

    @property
    def final(self) -> Layer | None:
        """The last map before the dense layers, and before airbench's last pool; None if there are no layers."""
        ends = ("last_pool", "flatten")
        return next((before for before, layer in pairwise(self.layers) if layer.kind in ends), None)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int | None:
        """None where those of some layer are not counted."""
        return None if any(layer.macs is None for layer in self.layers) else self.counted_macs

    @property
    def counted_macs(self) -> int:
        return sum(layer.macs or 0 for layer in self.layers)

    def as_record(self) -> dict[str, Any]:
        """The `geometry` part of a run record."""
        return {
            "layers": [asdict(layer) for layer in self.layers],
            "final_height": self.final and self.final.height,
            "final_width": self.final and self.final.width,
            "parameters": self.parameters,
            "macs": self.macs,
        }


NO_NETWORK = Network(())  # of a task that trains none
LAST_POOL = 3  # side of airbench's last pool


def network(model: ModelSettings, pool: PoolSettings, shape: tuple[int, int, int], classes: int) -> Network:
    """The network for images of `shape` (height, width, channels).

    Raises:
        ImpossibleNetwork: the map gets too small for a layer, or there are more pools than convolutions.
        SettingsError: `model.pad_to` is smaller than the image.
    """
    if model.pools is not None and model.pools > model.conv_layers:
        raise ImpossibleNetwork(
            f"model.pools={model.pools}: at most one pool per convolution and model.conv_layers is "
            f"{model.conv_layers}; use fewer pools or more layers"
        )
    layers = Stack(shape)
    if model.widths:
        return _airbench(layers, model, pool, classes)
    if model.centre:
        layers.add("centre", "centre")
    side = _padded_side(model, pool, max(shape[:2]))
    if side is not None:
        layers.add("pad", "pad", height=side, width=side)
    if model.distort:
        layers.add("distort", "distort", parameters=1)
    for number in range(1, model.conv_layers + 1):
        _add_block(layers, number, model, pool, model.kernel, _has_pool(model, number))
    if model.k is not None:
        _add_block(layers, model.conv_layers + 1, model, pool, model.kernel, pooled=False)
        _add_block(layers, model.conv_layers + 2, model, pool, 1, pooled=False)
    layers.add("flatten", "flatten", height=1, width=1, channels=layers.features)
    for number, width in enumerate(model.dense, start=1):
        layers.add_dense(f"dense{number}", width)
        layers.add(f"dense{number}_activation", "activation")
        if model.dense_dropout:
            layers.add(f"dense{number}_dropout", "dropout")
    layers.add_dense("logits", classes)
    return Network(tuple(layers.layers))


def _airbench(layers: Stack, model: ModelSettings, pool: PoolSettings, classes: int) -> Network:
    """airbench's network for CIFAR-10 (Jordan, arXiv 2404.00498; his airbench93 has widths 64, 128, 128).

    A 2×2 whitening convolution; for each width convolution, pool, batch norm, activation, convolution, batch norm,
    activation, with a pool after the second convolution too where there are as many pools as convolutions; the largest
    of 3×3 places, or of all where there are fewer; logits / 9. Only the whitening convolution has a bias of its own.
    """
    layers.add_whitening()
    layers.add("whiten_activation", "activation")
    for number in range(1, model.conv_layers + 1):
        layers.add_conv(f"conv{number}", model.widths[(number - 1) // 2], model.kernel, bias=False)
        if model.pools in (None, model.conv_layers) or number % 2 == 1:
            _add_pool(layers, number, model, pool)
        layers.add(f"norm{number}", "batch_norm", parameters=_norm_parameters(model, layers))
        layers.add(f"activation{number}", "activation")
    height, width = (side // min(side, LAST_POOL) for side in (layers.height, layers.width))
    layers.add("last_pool", "last_pool", height=height, width=width)
    layers.add("flatten", "flatten", height=1, width=1, channels=layers.features)
    layers.add_dense("logits", classes, bias=False)
    layers.add("logits_scale", "scale")
    return Network(tuple(layers.layers))


def block_widths(widths: Sequence[int]) -> str:
    """airbench's network by the widths of its blocks: airbench 64/128/128."""
    return f"airbench {'/'.join(map(str, widths))}"


def notation(model: ModelSettings, pool: PoolSettings) -> str:
    """Graham's network as he writes it: (32nC2−FMP√2)6−C2−C1; with max pooling (60nC2−MP2)4−C2−C1."""
    roots = {2 ** (1 / 2): "√2", 2 ** (1 / 3): "∛2"}
    alpha = _graham_ratio(pool)
    ratio = next((root for value, root in roots.items() if abs(value - alpha) < 1e-6), f"{alpha:.4g}")
    word = {"fmp": "FMP", "fractional_average": "FAP", "max": "MP", "average": "AP"}[pool.kind]
    return f"({model.k}nC{model.kernel}−{word}{ratio}){model.conv_layers}−C{model.kernel}−C1"


def _graham_ratio(pool: PoolSettings) -> float:
    """Of the pools of Graham's network: α, or 2 for poolings over 2×2 windows, which his earlier networks have."""
    return poolings.HALVING if pool.ratio is None else pool.ratio


def pool_at(model: ModelSettings, pool: PoolSettings, number: int) -> PoolSettings:
    """The settings of pool `number`, from 1. In Graham's network its ratio is one that gives just the size of the
    chain: the floor of size / α does not."""
    if model.k is None or pool.ratio is None:
        return pool
    before, after = graham_chain(pool.ratio, model.conv_layers, model.kernel)[number - 1]
    return replace(pool, ratio=layer_ratio(before, after))


def dropout_rate(model: ModelSettings, number: int) -> float:
    """Of the dropout after convolution `number`, from 1."""
    return model.dropout_ramp[number - 1] if model.dropout_ramp else model.dropout


def _padded_side(model: ModelSettings, pool: PoolSettings, image: int) -> int | None:
    """What the image is padded to with zeros, or None. Graham's networks start from the size that ends at 1×1."""
    if model.k is not None:
        alpha = _graham_ratio(pool)
        side = graham_input(alpha, model.conv_layers, model.kernel)
        if side < image:
            raise ImpossibleNetwork(
                f"model.conv_layers={model.conv_layers}: Graham's network of ratio {alpha:.4g} takes "
                f"{side}×{side}, less than the image's {image}; use more layers or a larger pool.ratio"
            )
        return side
    if model.pad_to is not None and model.pad_to < image:
        raise SettingsError(f"model.pad_to={model.pad_to}: must be null or at least the image's {image}")
    return model.pad_to


def _add_block(layers: Stack, number: int, model: ModelSettings, pool: PoolSettings, kernel: int, pooled: bool) -> None:
    """Convolution, then batch norm, activation, dropout and pool, as far as the settings have them.

    With `pointwise` a 1×1 convolution of the same width follows the first, each with its own batch norm and
    activation (Lin, Chen and Yan, Network in network, arXiv 1312.4400).

    A maximum commutes with a monotone activation, so without dropout between them a pool of the maximum
    type stands before the activation: the same values on fewer elements.
    """
    rate = dropout_rate(model, number)
    layers.add_conv(f"conv{number}", _filters(model, number), kernel, valid=model.k is not None)
    if model.batch_norm:
        layers.add(f"norm{number}", "batch_norm", parameters=_norm_parameters(model, layers))
    if model.pointwise:
        if model.activation != "linear":
            layers.add(f"pointwise{number}_before", "activation")
        layers.add_conv(f"pointwise{number}", layers.channels, 1)
        if model.batch_norm:
            layers.add(f"pointwise{number}_norm", "batch_norm", parameters=_norm_parameters(model, layers))
    early = pooled and not rate and poolings.of(pool).takes_maximum
    if early:
        _add_pool(layers, number, model, pool)
    if model.activation != "linear":
        layers.add(f"activation{number}", "activation")
    if rate:
        layers.add(f"dropout{number}", "dropout")
    if pooled and not early:
        _add_pool(layers, number, model, pool)


def _add_pool(layers: Stack, number: int, model: ModelSettings, pool: PoolSettings) -> None:
    pooling, pool = poolings.of(pool), pool_at(model, pool, number)
    height, width = (pooling.output_size(pool, side) for side in (layers.height, layers.width))
    if height < 1 or width < 1:
        raise ImpossibleNetwork(
            f"pool {number} of {pooling.label(pool)}: its map is {layers.height}×{layers.width}, too "
            f"small to pool; use fewer model.conv_layers or model.pools, or a smaller pool.ratio"
            f"{' (that of pool.match=max is 2)' if pool.ratio == poolings.HALVING else ''}"
        )
    shape = (layers.height, layers.width, layers.channels)
    parameters, macs = pooling.parameters(pool, shape), pooling.macs(pool, shape)
    layers.add(f"pool{number}", "pool", height=height, width=width, parameters=parameters, macs=macs)
    if pooling.convolves and model.activation != "linear" and not model.widths:  # whose batch norm comes first
        layers.add(f"pool{number}_activation", "activation")


def _norm_parameters(model: ModelSettings, layers: Stack) -> int:
    """Moving mean and variance, bias, and a factor where there is one, of each channel."""
    return (3 + model.batch_norm_scale) * layers.channels


def _filters(model: ModelSettings, number: int) -> int:
    """Width of convolution `number`: the list is stretched evenly over the layers; Graham's grow by k."""
    if model.k is not None:
        return model.k * number
    return model.filters[(number - 1) * len(model.filters) // model.conv_layers]


def _has_pool(model: ModelSettings, number: int) -> bool:
    """Pools are spread evenly over the convolutions; the last convolution always has one."""
    pools = model.conv_layers if model.pools is None else model.pools
    return number * pools // model.conv_layers > (number - 1) * pools // model.conv_layers
