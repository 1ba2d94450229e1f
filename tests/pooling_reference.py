"""Max pooling over given windows by plain loops: what the fast one is compared with."""

import numpy as np


def spans(boundaries, size, overlapping=False, window=None):
    """First and last-but-one cell of each window of one axis."""
    if window is not None:
        return [(start, start + window) for start in boundaries]
    ends = np.minimum(boundaries[1:] + overlapping, size)
    return list(zip(boundaries[:-1], ends, strict=True))


def pool(x, rows, cols, overlapping=False, window=None, dy=None):
    """Output, and the gradient of sum(output · dy) by x. Boundaries (n,), (N, n) or (N, C, n)."""
    count, height, width, channels = x.shape
    rows, cols = (
        np.broadcast_to(_per_channel(given), (count, channels, np.shape(given)[-1])) for given in (rows, cols)
    )
    pieces = 0 if window else 1
    shape = (count, rows.shape[-1] - pieces, cols.shape[-1] - pieces, channels)
    y, dx = np.zeros(shape, x.dtype), np.zeros(x.shape, x.dtype)
    for n in range(count):
        for c in range(channels):
            for i, (top, bottom) in enumerate(spans(rows[n, c], height, overlapping, window)):
                for j, (left, right) in enumerate(spans(cols[n, c], width, overlapping, window)):
                    cells = x[n, top:bottom, left:right, c]
                    place = np.unravel_index(np.argmax(cells), cells.shape)  # first NaN or maximum
                    y[n, i, j, c] = cells[place]
                    if dy is not None:
                        dx[n, top + place[0], left + place[1], c] += dy[n, i, j, c]
    return y, dx


def _per_channel(boundaries):
    boundaries = np.asarray(boundaries)
    return boundaries[:, None] if boundaries.ndim == 2 else boundaries
