"""What scripts/bench.py measures, one module each."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence


async def medians(
    contenders: Mapping[str, Callable[[], Awaitable[Sequence[float]]]], rounds: int
) -> dict[str, list[float]]:
    """Let contenders take turns, so that what else the machine does falls on all of them.

    Each call returns the figures of one round. Returned are their medians, without a first round,
    which warms up.
    """
    taken: dict[str, list[Sequence[float]]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, measure in contenders.items():
            figures = await measure()
            if number:
                taken[name].append(figures)
    return {
        name: [statistics.median(column) for column in zip(*figures, strict=True)]
        for name, figures in taken.items()
    }
