from __future__ import annotations

import subprocess
import sys


def test_clients_of_servers_are_imported_only_where_a_log_needs_them() -> None:
    program = """
import sys
from ledgerlb.eventlog.connect import connect
heavy = {"aiokafka", "aiohttp", "kubernetes_asyncio"}
connect("sqlite:///tmp/l.db")
connect("memory:")
assert not heavy & set(sys.modules), heavy & set(sys.modules)
connect("kafka://127.0.0.1:9092")
assert "aiokafka" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
