"""What TLS and SCRAM between LedgerLB and its broker cost: the same streams without and with them, on one broker.

The run without them goes first and last, since machines grow slower and faster within minutes.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.bench import sides
from tests.bench.client import Run
from tests.bench.lab import HEAP, lab
from tests.bench.pipeline import QUICK_STEADY_SECONDS, SHAPES, STEADY_SECONDS, cpu_of_one, measure_side, summary
from tests.support.secure_kafka import SecureKafka

PLAIN_BEFORE: Final = "in the clear, before"
SECURE: Final = "TLS and SCRAM"
PLAIN_AFTER: Final = "in the clear, after"
_USER: Final = "bench"
_PASSWORD: Final = "a password of the bench"


def measure(*, quick: bool = False, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Latencies, rates and CPU of LedgerLB on Kafka by stream and side. Takes two minutes."""
    steady = QUICK_STEADY_SECONDS if quick else STEADY_SECONDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kafka = SecureKafka(folder, heap=HEAP)
        with lab("shared", kafka.broker) as place:
            kafka.set_password(_USER, _PASSWORD)
            runs: dict[str, dict[str, Run]] = {}
            for title, slug, log, settings in (
                (PLAIN_BEFORE, "plain-before", f"kafka://{place.bootstrap}", {}),
                (SECURE, "secure", f"kafka://{kafka.sasl}", _security(kafka, folder)),
                (PLAIN_AFTER, "plain-after", f"kafka://{place.bootstrap}", {}),
            ):
                say(f"tls: {title}")
                five = functools.partial(sides.five_processes, place, folder / slug, log=log, settings=settings)
                runs[title] = measure_side(place, slug, lambda _, start=five: start(), steady, fresh=False)
    return {
        **{shape: {side: summary(of_side[shape]) for side, of_side in runs.items()} for shape in SHAPES},
        "cpu": {shape: {side: cpu_of_one(of_side[shape]) for side, of_side in runs.items()} for shape in SHAPES},
    }


def _security(kafka: SecureKafka, folder: Path) -> dict[str, str]:
    password = folder / "password"
    password.write_text(_PASSWORD)
    return {
        "LEDGERLB_LOG_TLS_CA": kafka.authority,
        "LEDGERLB_LOG_SASL_MECHANISM": "SCRAM-SHA-512",
        "LEDGERLB_LOG_SASL_USERNAME": _USER,
        "LEDGERLB_LOG_SASL_PASSWORD_FILE": str(password),
    }
