"""The log folded to its end for a command that answers once, and the objects that the user names in it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches

from ledgerlb.cli.console import say
from ledgerlb.cli.reading import existing_log, read_all, remembered_heads, trusted_keys, warn_of_damage
from ledgerlb.core.errors import BadInput
from ledgerlb.core.settings import DomainSettings
from ledgerlb.core.text import timestamp
from ledgerlb.runtime.logview import LogView, ServiceLine


async def load(url: str, settings: DomainSettings, *, keep_entries: bool = False) -> LogView:
    """Fold the log at ``url`` up to its present end. Records that cannot be used are counted on standard error."""
    view = LogView(settings)
    if keep_entries:
        view.accepted = []
    async with existing_log(url) as log:
        if (keys := trusted_keys()) is not None:
            view.trust(keys)
        await remembered_heads(log, view.heads)
        unusable = await read_all(log, LogView.READS, view.take)
    view.at_end()
    if unusable:
        say(f"warning: {unusable} records of the log could not be used; ledgerlb verify checks the ledger", err=True)
    warn_of_damage(view.ledger.damage)
    return view


def warn_if_stale(view: LogView, now: datetime) -> None:
    """Say on standard error how old the answer is when every agent of the log has been silent for too long."""
    agents = view.agents.agents()
    if not agents or view.as_of is None or view.agents.alive(now, view.settings.agent_timeout):
        return
    heard = max(beat.at for beat in agents)
    say(
        f"note: as of {timestamp(view.as_of)}; no agent has reported since {timestamp(heard)}."
        " If LedgerLB is not running, the cluster may have changed since then.",
        err=True,
    )


def checked_name(kind: str, name: str) -> str:
    """Return the name; raises BadInput where it is not NAMESPACE/NAME."""
    namespace, slash, rest = name.partition("/")
    if not slash or not namespace or not rest or "/" in rest:
        raise BadInput(f"{kind} {name!r}", "", "is not namespace/name", "write it like shop/web")
    return name


def known_service(view: LogView, name: str, now: datetime) -> ServiceLine:
    """Return the Service of that name; raises BadInput where the log has neither the Service nor an address of it."""
    line = view.service(checked_name("Service", name), now)
    if line.fact is None and not line.holdings:
        raise unknown("Service", name, view.service_names(), "services")
    return line


def unknown(kind: str, name: str, known: Iterable[str], command: str) -> BadInput:
    """Return the error for a name that the log does not have, with the nearest one that it has."""
    names = sorted(known)
    own = name.rpartition("/")[2]
    near = [candidate for candidate in names if candidate.rpartition("/")[2] == own] or get_close_matches(
        name, names, 1
    )
    remedy = f"did you mean {near[0]}?" if near else f"ledgerlb {command} lists those that exist"
    return BadInput(f"{kind} {name}", "", "is not known: it does not exist and holds no address", remedy)
