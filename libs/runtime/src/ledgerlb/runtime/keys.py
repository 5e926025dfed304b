"""The keys of a process: what it signs with, and whom it trusts, by its settings.

Nothing here loads the cryptography unless a setting names a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.eventlog.port import EventLog
from ledgerlb.eventlog.topics import Topic
from ledgerlb.runtime.settings import PREFIX, ProcessSettings

if TYPE_CHECKING:
    from ledgerlb.eventlog.keys import SigningKey, TrustedKeys


@dataclass(frozen=True, slots=True)
class ProcessKeys:
    """See module."""

    signing: SigningKey | None = None
    trusted: TrustedKeys | None = None

    def signed(self, log: EventLog) -> EventLog:
        """Return the log that signs what is appended to it; there must be a signing key."""
        from ledgerlb.eventlog.signing import SigningLog  # noqa: PLC0415 - see module

        assert self.signing is not None
        return SigningLog(log, self.signing)


def keys_of(settings: ProcessSettings, writes: Sequence[Topic] = ()) -> ProcessKeys:
    """Return the keys that the settings name, for a process that writes these topics.

    Raises InvalidSetting for a file that cannot be used, and where readers would refuse what the process writes: keys
    are trusted, but the process has none of them that may sign its topics.
    """
    if not settings.signing_key_file and not settings.trusted_keys_file:
        return ProcessKeys()
    from ledgerlb.eventlog.keys import ROLE_OF, SigningKey, TrustedKeys  # noqa: PLC0415 - see module

    signing = SigningKey(Path(settings.signing_key_file)) if settings.signing_key_file else None
    if not settings.trusted_keys_file:
        return ProcessKeys(signing)
    trusted = TrustedKeys(Path(settings.trusted_keys_file))
    for topic in writes:
        if signing is None:
            problem = f"is not set, but {PREFIX}TRUSTED_KEYS_FILE is: nobody would accept records of {topic.name}"
            raise InvalidSetting("environment", f"{PREFIX}SIGNING_KEY_FILE", problem, "name a file with a trusted key")
        if not trusted.may_sign(signing.id, ROLE_OF[topic.name]):
            problem = f"has the key {signing.id}, which {settings.trusted_keys_file} does not trust for {topic.name}"
            remedy = f"add it there with signs: {ROLE_OF[topic.name]}"
            raise InvalidSetting("environment", f"{PREFIX}SIGNING_KEY_FILE", problem, remedy)
    return ProcessKeys(signing, trusted)
