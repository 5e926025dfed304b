"""One process runs all services on an embedded log, unless it is told to share."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ledgerlb.core.errors import InvalidSetting
from ledgerlb.eventlog.embedded.owner import owned

HOLD = """
import sys, time
from pathlib import Path
from ledgerlb.eventlog.embedded.owner import owned
with owned(Path(sys.argv[1]), share=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_holder_hears_who_holds_the_log_and_may_share_it(tmp_path):
    log = tmp_path / "ledger.db"
    with owned(log, share=False) as first:
        assert first
        with (
            pytest.raises(InvalidSetting, match=rf"in use by process {os.getpid()} on .*--share-log"),
            owned(log, share=False),
        ):
            pass
        with owned(log, share=True) as second:
            assert not second
        with owned(tmp_path / "other.db", share=False) as other:
            assert other
    with owned(log, share=False) as again:
        assert again


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    log = tmp_path / "ledger.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(InvalidSetting, match=f"process {holder.pid} "), owned(log, share=False):
            pass
        holder.kill()
        holder.wait(10)
        with owned(log, share=False) as alone:
            assert alone
