"""Signing and trusted keys for tests."""

from __future__ import annotations

from pathlib import Path

from ledgerlb.eventlog.keys import ROLES, Role, Since, TrustedFile, make_key, write_private, write_trusted


def keys_in(folder: Path, signs: tuple[Role, ...] = ROLES, since: dict[str, Since] | None = None) -> dict[str, str]:
    """Make the files ``key`` and ``trusted`` in the folder; return the settings that name them."""
    pem, public = make_key(signs)
    write_private(folder / "key", pem)
    write_trusted(folder / "trusted", TrustedFile(keys=(public,), since=since or {}))
    return {"signing_key_file": str(folder / "key"), "trusted_keys_file": str(folder / "trusted")}
