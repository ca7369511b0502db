"""The access gate, behind which nothing is kept."""

from __future__ import annotations

import asyncio

from cio_replicate.source.stream import AccessGate


def test_the_gate_opens_with_the_last_table() -> None:
    """It stays shut as long as one table has no answer."""

    async def scenario() -> list[bool]:
        gate = AccessGate(["a", "b"], patience=3600)
        states = [gate.is_open]
        gate.passed("a")
        gate.passed("a")
        states.append(gate.is_open)
        gate.passed("b")
        states.append(gate.is_open)
        await gate.opened()
        return states

    assert asyncio.run(scenario()) == [False, False, True]


def test_all_who_wait_go_through_together() -> None:
    """Every waiting table goes on as soon as the gate opens, and none before."""

    async def scenario() -> list[str]:
        gate = AccessGate(["a", "b"], patience=3600)
        order: list[str] = []

        async def wait(name: str) -> None:
            await gate.opened()
            order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(wait("a"))
            group.create_task(wait("b"))
            await asyncio.sleep(0)
            gate.passed("a")
            await asyncio.sleep(0)
            order.append("the last answer")
            gate.passed("b")
        return order

    order = asyncio.run(scenario())
    assert order[0] == "the last answer"
    assert sorted(order[1:]) == ["a", "b"]


def test_one_slow_table_does_not_hold_all() -> None:
    """When patience ends the gate opens for good."""

    async def scenario() -> bool:
        gate = AccessGate(["a", "slow"], patience=0)
        gate.passed("a")
        assert not gate.is_open
        await gate.opened()
        return gate.is_open

    assert asyncio.run(scenario())


def test_an_answer_for_an_unknown_table_opens_nothing() -> None:
    """Only the tables of the run count."""
    gate = AccessGate(["a"], patience=3600)
    gate.passed("other")
    assert not gate.is_open


def test_without_tables_there_is_nothing_to_wait_for() -> None:
    """A gate for no table is open."""
    assert AccessGate([], patience=3600).is_open
