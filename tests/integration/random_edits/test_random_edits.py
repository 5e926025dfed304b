"""Thousands of Services under random edits, on a real API server and a real broker: at rest everything is where it must be.

The sizes and the seed come from the environment (see `size`). With the sizes as they are the test takes about five
minutes on two cores: half a minute to create the Services, three minutes of edits, one to come to rest and to judge.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from ledgerlb.core.settings import DomainSettings
from tests.builders import objects
from tests.integration.random_edits import estate, snapshot
from tests.integration.random_edits.editor import Editor
from tests.integration.random_edits.edits import Script
from tests.integration.random_edits.fresh import unsaid
from tests.integration.random_edits.judgement import Judgement
from tests.integration.random_edits.size import Size
from tests.support.containers import KubeApiServer
from tests.support.kube_objects import Cluster
from tests.support.logview import LogView
from tests.support.pipeline import Pipeline
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

TICK = 0.5
CALM_SECONDS = 6.0
"""How long nothing may be said before that counts as rest: longer than the short quarantines."""
REST_SECONDS = 150.0
SHOWN = 25
"""Violations that the message lists."""


def test_at_rest_everything_is_where_it_must_be(
    cluster: Cluster, kafka: LogView, api_server: KubeApiServer, tmp_path: Path
) -> None:
    size = Size.from_environment()
    print(f"LEDGERLB_SEED={size.seed}; {size}")
    began = time.monotonic()
    script = Script(size.seed, size.services)
    editor = Editor(cluster, script)
    with Pipeline(tmp_path, kafka.url, kubeconfig=api_server.kubeconfig_path, settings=estate.SETTINGS) as pipeline:
        pids = pipeline.pids()
        cluster.ensure_namespaces(*estate.namespaces())
        cluster.create_all([objects.node(name, address) for name, address in estate.NODES])
        cluster.create_all([obj for network in estate.NETWORKS for obj in network.objects()])
        cluster.create(estate.kubemanager(dict.fromkeys(estate.SELECTORS, 0)))
        cluster.create_all(script.first_services())
        print(f"{size.services} Services created after {time.monotonic() - began:.1f} s")

        edit_for(editor, size)
        print(f"{editor.done.total()} edits until {time.monotonic() - began:.1f} s: {dict(editor.done.most_common())}")
        print(f"answers of the API server: {dict(editor.answers)}")

        resting = time.monotonic()
        come_to_rest(pipeline, kafka, cluster)
        print(f"at rest {time.monotonic() - resting:.1f} s after the last edit")
        assert pipeline.pids() == pids, "a service was ended meanwhile"
        pipeline.wait_ready()
        judged(snapshot.take(cluster, kafka))
    assert kafka.dead_letters() == []
    report = kafka.verify()
    assert report["clean"], report
    assert not editor.odd, editor.odd[:SHOWN]
    print(f"judged after {time.monotonic() - began:.1f} s")


def edit_for(editor: Editor, size: Size) -> None:
    """Edit at the rate asked for, as long as asked for; a slow API server makes it fewer edits, not a longer time."""
    began = time.monotonic()
    asked = 0
    while (passed := time.monotonic() - began) < size.seconds:
        due = min(int(passed * size.rate) - asked, int(size.rate * TICK) + 1)
        if due > 0:
            editor.carry_out(due)
            asked += due
        time.sleep(max(0.0, TICK - (time.monotonic() - began - passed)))


def come_to_rest(pipeline: Pipeline, log: LogView, cluster: Cluster) -> None:
    """Wait until nothing has been said for a while, no object waits to be written, and nothing is being deleted.

    Events still may: they come after everything else, one at a time, and nothing follows from them.
    """
    last: dict[str, int] = {}
    since = time.monotonic()

    def calm() -> bool:
        nonlocal last, since
        found = snapshot.ends(log)
        waiting = pipeline["watcher"].metric("ledgerlb_cluster_writes_waiting", what="objects")
        if found != last or waiting:
            moved = {topic: end - last.get(topic, 0) for topic, end in found.items() if end != last.get(topic)}
            last, since = found, time.monotonic()
            raise AssertionError(f"{waiting:g} writes wait; the log grew by {moved}")
        going = [obj for obj in cluster.objects("Service") if "deletionTimestamp" in obj["metadata"]]
        assert not going, f"{len(going)} Services are being deleted, as {going[0]['metadata']['name']}"
        return time.monotonic() - since >= CALM_SECONDS

    eventually(calm, "everything rests", REST_SECONDS, every=1.0)


def judged(found: snapshot.Snapshot) -> None:
    """Nothing is amiss, and there was something to judge."""
    settings = DomainSettings.model_validate(estate.SETTINGS)
    judgement = Judgement(found, settings)
    violations = judgement.violations() + asyncio.run(unsaid(found, settings))
    kinds = Counter(sentence.partition(":")[0] for sentence in violations)
    print(f"violations: {dict(kinds)}")
    described(judgement, found)
    assert not violations, f"{len(violations)} violations: " + "\n".join(["", *violations[:SHOWN]])


def described(judgement: Judgement, found: snapshot.Snapshot) -> None:
    """What the edits led to; a run in which some of it never happened shows less than it should."""
    cases = judgement.cases
    drifted = sum(bool(case.networks) and case.networks != (case.fresh.network,) for case in cases)
    pending = Counter(case.condition("ledgerlb.io/AddressAllocated")[1] for case in cases if not case.holdings)
    print(
        f"{len(cases)} Services are ours, {len(cases) - pending.total()} hold addresses, {drifted} of them not what a "
        f"fresh choice would take; {pending.total()} have none: {dict(pending)}; "
        f"{found.fold.accepted} entries, {found.fold.rejected} rejected; {len(found.cn2_objects or ())} objects; "
        f"records: { {topic: len(records) for topic, records in found.records.items()} }"
    )
    assert drifted, "nobody stays anywhere against a fresh choice: this run shows nothing"
    assert found.cn2_objects, "no InstanceIP, no FloatingIP: this run shows nothing of them"
    assert len(pending) > 1, "everybody is served: this run shows nothing"
