"""Real flows through both back ends: even over the pods, and undisturbed while pods come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.dataplane.lab import Driver
from tests.dataplane.measure import HELD_PORT, Held, failed, flows, moved, pod_of, spread
from tests.dataplane.pods import FOUR, PLAIN, PODS, SIX, SPARE, Balancer, PodLab, name, path_set

pytestmark = pytest.mark.dataplane

GONE = PODS[-1]
LEFT = PODS[:-1]
FLOWS = 6000
HELD = 1000


Hold = Callable[[str, int], Held]


@pytest.fixture(scope="module")
def pod_lab() -> Iterator[PodLab]:
    with PodLab() as made:
        yield made


@pytest.fixture(scope="module")
def running(pod_lab: PodLab) -> Balancer:
    return Balancer(pod_lab)


@pytest.fixture
def balancer(pod_lab: PodLab, running: Balancer) -> Balancer:
    """The agents, with nothing programmed and no flow left from another test."""
    running.start_with()
    pod_lab.forget_flows()
    return running


@pytest.fixture
def hold(pod_lab: PodLab) -> Iterator[Hold]:
    opened: list[Held] = []

    def open_them(address: str, count: int) -> Held:
        opened.append(Held(pod_lab, address, count))
        return opened[-1]

    yield open_them
    for held in opened:
        held.close()


def test_flows_are_even_over_pods_where_plain_ecmp_is_not(pod_lab: PodLab, balancer: Balancer) -> None:
    balancer.start_with(path_set(FOUR, PODS))
    pod_lab.serve_plainly(PODS)
    ours, plain = (spread(flows(pod_lab, address, FLOWS)) for address in (FOUR, PLAIN))
    assert set(ours.counts) == {name(pod) for pod in PODS}
    assert ours.ratio <= 1.25, ours
    assert ours.is_even, ours
    assert plain.ratio > 2, f"plain ECMP gives each node as much: {plain}"


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_one_pod_less_moves_no_other_flow_and_breaks_no_other_connection(
    address: str, pod_lab: PodLab, balancer: Balancer, hold: Hold
) -> None:
    balancer.start_with(path_set(address, PODS))
    before = flows(pod_lab, address, FLOWS)
    assert spread(before).ratio <= 1.25
    held = hold(address, HELD)
    balancer.set_to(path_set(address, LEFT))
    pod_lab.forget_flows(below=HELD_PORT)
    after = flows(pod_lab, address, FLOWS)
    assert failed(after) == 0
    assert moved(before, after, without={name(GONE)}) <= 0.01
    broken, asked = held.broken(without={name(GONE)})
    assert broken == 0
    assert asked > HELD * 0.75


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_one_pod_more_takes_its_share_and_breaks_no_connection(
    address: str, pod_lab: PodLab, balancer: Balancer, hold: Hold
) -> None:
    balancer.start_with(path_set(address, PODS))
    before = flows(pod_lab, address, FLOWS)
    held = hold(address, HELD)
    balancer.set_to(path_set(address, (*PODS, SPARE)))
    pod_lab.forget_flows(below=HELD_PORT)
    after = flows(pod_lab, address, FLOWS)
    assert failed(after) == 0
    assert spread(after).counts[name(SPARE)] > 0
    assert moved(before, after) <= 1 / 7 + 0.01
    assert held.broken() == (0, HELD)


def test_a_second_node_and_more_break_no_connection_of_the_first(
    pod_lab: PodLab, balancer: Balancer, hold: Hold
) -> None:
    balancer.start_with(path_set(FOUR, [(1, 1)]))
    held = hold(FOUR, HELD)
    for pods in ([(1, 1), (2, 1)], PODS, [(1, 1), (2, 1)], [(1, 1)]):
        balancer.set_to(path_set(FOUR, pods))
        assert held.broken() == (0, HELD)


def test_clients_of_a_pod_that_is_gone_are_told_so_at_once_and_those_of_an_unready_one_go_on(
    pod_lab: PodLab, balancer: Balancer, hold: Hold
) -> None:
    balancer.start_with(path_set(FOUR, [(3, 1), (3, 2), (3, 3)]))
    held = hold(FOUR, 300)
    balancer.set_to(path_set(FOUR, [(3, 1), (3, 2)], unready=[(3, 3)]))
    assert held.broken() == (0, 300)
    balancer.set_to(path_set(FOUR, [(3, 1), (3, 2)]))
    answers = held.again()
    lost = {answers[key] for key, answer in held.first.items() if pod_of(answer) == "pod33"}
    assert lost == {"ERROR ConnectionResetError"}
    assert held.broken(without={"pod33"})[0] == 0


def test_datagrams_of_a_pod_that_is_gone_go_to_another(pod_lab: PodLab, balancer: Balancer) -> None:
    balancer.start_with(path_set(FOUR, PODS, protocol="UDP"))
    before = flows(pod_lab, FOUR, FLOWS // 4, kind="udp", port=53)
    assert failed(before) == 0
    balancer.set_to(path_set(FOUR, LEFT, protocol="UDP"))
    after = flows(pod_lab, FOUR, FLOWS // 4, kind="udp", port=53)
    assert failed(after) == 0
    assert name(GONE) not in spread(after).counts
    assert moved(before, after, without={name(GONE)}) == 0, "conntrack keeps the flows of the others"


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_the_pod_sees_the_address_of_the_client(address: str, pod_lab: PodLab, balancer: Balancer) -> None:
    balancer.start_with(path_set(address, PODS))
    answers = flows(pod_lab, address, 40)
    for source, answer in answers.items():
        assert answer.split(" ")[1].removeprefix("::ffff:") == source.split(" ")[0]


def test_each_port_of_a_shared_address_admits_its_own_clients(pod_lab: PodLab, balancer: Balancer) -> None:
    ports: list[dict[str, Any]] = [
        {"source_ranges": ["10.0.1.1/32", "10.0.1.0/30"]},
        {"service": "shop/api", "port": 81},
        {"service": "shop/closed", "port": 82, "source_ranges": []},
    ]
    balancer.start_with(path_set(FOUR, PODS, ports=ports))
    first = flows(pod_lab, FOUR, 20, port=80)
    assert {key.split(" ")[0] for key, answer in first.items() if answer.startswith("pod")} == {
        f"10.0.1.{number}" for number in (1, 2, 3)
    }
    assert failed(flows(pod_lab, FOUR, 20, port=81)) == 0
    assert failed(flows(pod_lab, FOUR, 20, port=82)) == 20
    refused = flows(pod_lab, FOUR, 20, port=83)
    assert set(refused.values()) == {"ERROR ConnectionRefusedError"}, (
        "what no port serves is refused and circles nowhere"
    )


def test_a_client_keeps_its_pod_where_the_fabric_hashes_addresses(pod_lab: PodLab, balancer: Balancer) -> None:
    pod_lab.run("router", "sysctl", "-qw", "net.ipv4.fib_multipath_hash_fields=0x3")
    sticky = [{"affinity": True, "affinity_timeout": 10800}]
    balancer.start_with(path_set(FOUR, PODS, ports=sticky))
    before = flows(pod_lab, FOUR, 400)
    by_client: dict[str, set[str]] = {}
    for key, answer in before.items():
        by_client.setdefault(key.split(" ")[0], set()).add(pod_of(answer))
    assert all(len(pods) == 1 for pods in by_client.values()), by_client
    balancer.set_to(path_set(FOUR, LEFT, ports=sticky))
    after = flows(pod_lab, FOUR, 400, first=30000)
    for key, answer in after.items():
        (pod,) = by_client[key.split(" ")[0]]
        assert pod in (pod_of(answer), name(GONE))
    pod_lab.run("router", "sysctl", "-qw", "net.ipv4.fib_multipath_hash_fields=0x37")


def test_an_agent_that_is_killed_and_started_again_disturbs_nothing(
    pod_lab: PodLab, balancer: Balancer, hold: Hold
) -> None:
    wanted = path_set(FOUR, PODS)
    balancer.start_with(wanted)
    held = hold(FOUR, 300)

    async def meanwhile() -> dict[str, str]:
        short = asyncio.to_thread(flows, pod_lab, FOUR, 1000)

        def restart() -> None:
            for number, agent in balancer.nodes.items():
                agent.kill()
                balancer.nodes[number] = balancer.node(number)
                balancer.nodes[number].start_with(wanted)
            balancer.fabric.kill()
            balancer.fabric = Driver(pod_lab)
            balancer.fabric.start_with(wanted)

        answers, _ = await asyncio.gather(short, asyncio.to_thread(restart))
        return answers

    assert failed(asyncio.run(meanwhile())) == 0
    assert held.broken() == (0, 300)


def test_what_went_while_no_agent_looked_is_settled_at_the_next_start(
    pod_lab: PodLab, balancer: Balancer, hold: Hold
) -> None:
    tcp, udp = path_set(FOUR, PODS), path_set("192.168.102.11", PODS, protocol="UDP")
    balancer.start_with(tcp, udp)
    held = hold(FOUR, 300)
    before = flows(pod_lab, "192.168.102.11", 600, kind="udp", port=53)
    for number, agent in balancer.nodes.items():
        agent.kill()
        balancer.nodes[number] = balancer.node(number)
    balancer.start_with(path_set(FOUR, LEFT), path_set("192.168.102.11", LEFT, protocol="UDP"))
    answers = held.again()
    assert {answers[key] for key, found in held.first.items() if pod_of(found) == name(GONE)} == {
        "ERROR ConnectionResetError"
    }
    after = flows(pod_lab, "192.168.102.11", 600, kind="udp", port=53)
    assert failed(after) == 0
    assert moved(before, after, without={name(GONE)}) == 0


def test_a_node_that_is_drained_serves_until_the_fabric_has_let_go(pod_lab: PodLab, balancer: Balancer) -> None:
    balancer.start_with(path_set(FOUR, PODS))
    on_node = [pod for pod in PODS if pod[0] == 3]
    draining = path_set(FOUR, [pod for pod in PODS if pod[0] != 3], draining=on_node)
    for agent in balancer.nodes.values():
        agent.set_to(draining)
    answers = flows(pod_lab, FOUR, 1000)
    assert failed(answers) == 0
    assert {name(pod) for pod in on_node} <= set(spread(answers).counts), "the fabric still sends flows there"
    balancer.fabric.set_to(draining)
    answers = flows(pod_lab, FOUR, 1000, first=30000)
    assert failed(answers) == 0
    assert not {name(pod) for pod in on_node} & set(spread(answers).counts)
