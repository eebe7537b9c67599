"""Whether the mean of a bounded quantity is above its limit, by a test that may be looked at after every job.

Testing by betting. Each observation x in [0, 1] is a bet against "the mean is at most the limit"; the wealth of who
bets is the evidence. While that is true, the wealth reaches 1/a at any time with a probability of at most a (Ville's
inequality), however often one looks. Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting" (Journal of the Royal Statistical Society B, 2024).

The bets here are constant, three of them side by side. So the wealth depends on how often each value was seen and not
on the order, and what several workers saw can be added.
"""

import math
from collections.abc import Mapping
from typing import Final

# Parts of the wealth that are staked on each observation: small ones see a mean a little above its limit, large ones
# see one far above it soon. Chosen by simulation among four sets.
_STAKES: Final = (0.03, 0.1, 0.3)


def log_wealth(counts: Mapping[float, int], limit: float) -> float:
    """Return the natural logarithm of the wealth after observations: 0 at the start, negative if they are fine.

    `counts` says how often each value in [0, 1] was observed; `limit` is in (0, 1). Raises ValueError else.
    """
    if not 0 < limit < 1:
        raise ValueError(f"a limit of {limit:g} cannot be tested: it must lie between 0 and 1")
    if any(not 0 <= value <= 1 or count < 0 for value, count in counts.items()):
        raise ValueError("observations are values from 0 to 1, each seen 0 or more times")
    logs = [
        math.fsum(count * math.log1p(stake * (value - limit) / limit) for value, count in counts.items())
        for stake in _STAKES
    ]
    largest = max(logs)
    return largest + math.log(math.fsum(math.exp(log - largest) for log in logs) / len(logs))


def threshold(false_alarm: float) -> float:
    """Return the logarithm of the wealth that is enough, for a probability of a false alarm."""
    return -math.log(false_alarm)
