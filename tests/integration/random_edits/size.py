"""How much is edited, for how long, and by which seed.

| variable | default | what it sets |
|---|---|---|
| LEDGERLB_SEED | 4; `random` draws one, and prints it | which edits are made, in which order |
| LEDGERLB_EDIT_SERVICES | 2000 | Services at the start |
| LEDGERLB_EDIT_SECONDS | 180 | seconds of edits |
| LEDGERLB_EDIT_RATE | 25 | edits a second, at most 30 |

The defaults take about six minutes in all; 200 Services and 20 seconds are a short run while working on it.

Namespaces (40) and networks (25) stay. The seed fixes which edits are asked for; what they meet on the way (a Service
that is still going, a network that is still full) is up to the race between the script and the services.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Final, Self

NAMESPACES: Final = 40
MAX_RATE: Final = 30


@dataclass(frozen=True)
class Size:
    """See module."""

    seed: int
    services: int
    seconds: float
    rate: int

    @classmethod
    def from_environment(cls) -> Self:
        seed = os.environ.get("LEDGERLB_SEED", "4")
        size = cls(
            seed=random.SystemRandom().randrange(2**32) if seed == "random" else int(seed),
            services=int(os.environ.get("LEDGERLB_EDIT_SERVICES", "2000")),
            seconds=float(os.environ.get("LEDGERLB_EDIT_SECONDS", "180")),
            rate=int(os.environ.get("LEDGERLB_EDIT_RATE", "25")),
        )
        assert size.services >= NAMESPACES, f"LEDGERLB_EDIT_SERVICES={size.services}: {NAMESPACES} at least"
        assert 1 <= size.rate <= MAX_RATE, f"LEDGERLB_EDIT_RATE={size.rate}: from 1 to {MAX_RATE}"
        return size
