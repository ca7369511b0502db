"""The control room: a simulator in another process can be asked and moved over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.simulator.conftest import Simulate

SERVE = """
from customerio_simulator import WorkspaceSpec, serve
serve(WorkspaceSpec(messages=50), token="abc", on_listening=lambda url: print(url, flush=True))
"""


def test_truth_streams_as_lines(sim: Simulator, client: httpx2.Client) -> None:
    """Each line is one record, exactly as the workspace holds it."""
    for table in sim.workspace.table_names:
        lines = client.get(f"/_simulator/truth/{table}").content.splitlines()
        assert lines == list(sim.workspace.truth(table))
    assert client.get("/_simulator/truth/nothing").status_code == 404


def test_the_summary_counts_and_digests_every_table(simulate: Simulate) -> None:
    """Counts and digests are those of the truth, and a digest changes when a record does."""
    sim, client = simulate()
    before = client.get("/_simulator/truth").json()
    assert before["messages"]["records"] == 3_000
    assert client.get("/_simulator/truth/campaigns/summary").json() == before["campaigns"]
    sim.workspace.put("campaigns", {"id": 1, "name": "changed"})
    after = client.get("/_simulator/truth").json()
    assert {table for table in before if before[table] != after[table]} == {"campaigns"}


def test_requests_are_counted_by_operation_and_status(simulate: Simulate) -> None:
    """Counts name operations and statuses; the control room's own requests are not among them; reset empties it."""
    _, client = simulate()
    client.get("/v1/campaigns")
    client.get("/v1/campaigns/99")
    client.get("/v1/campaigns/98")
    told = client.get("/_simulator/requests").json()
    assert told["counts"] == {"getCampaigns": {"404": 2}, "listCampaigns": {"200": 1}}
    assert told["total"] == told["max_in_any_second"] == 3
    assert [one["target"] for one in client.get("/_simulator/requests/log").json()][-1] == "/v1/campaigns/98"
    assert client.post("/_simulator/reset-requests").json()["total"] == 0


def test_what_is_asked_again_is_counted(simulate: Simulate) -> None:
    """The same request once more counts, unless what came before was a refusal or spoilt, or is forgotten."""
    sim, client = simulate()
    page, ids = "/v1/messages?limit=3", {"ids": ["30e00001"]}
    sim.faults = Faults.script(Fault(kind="status", path=page), Fault(kind="cut_json", path=page))
    for _ in range(5):  # refused, cut, whole, again, again
        client.get(page)
    client.get("/v1/messages?limit=4")
    for asked in (ids, ids, {"ids": ["00000000"]}):
        client.post("/v1/customers/attributes?id_type=cio_id", json=asked)
    told = client.get("/_simulator/requests").json()
    assert told["asked_again"] == {"listMessages": 2, "getPeopleById": 1}
    assert [one["again"] for one in client.get("/_simulator/requests/log").json()][2:5] == [False, True, True]
    client.post("/_simulator/reset-requests")
    client.get(page)
    assert sim.log.summary()["asked_again"] == {}


def test_evolution_advance_and_edits_over_http(simulate: Simulate) -> None:
    """What the Python calls do, the control room does, with the same account of it."""
    _, client = simulate(WorkspaceSpec(activities=300))
    now = client.get("/_simulator/now").json()["now"]
    told = client.post("/_simulator/evolve", json={"seed": 4, "edits": 2, "seconds": 60}).json()
    assert len(told["campaigns"]["inserted"]) == 2
    wish = {"seed": 5, "edits": 1, "seconds": 60, "unlogged": 9, "backdated_within": 0}
    assert len(client.post("/_simulator/evolve", json=wish).json()["customers"]["updated"]) == 10
    assert client.post("/_simulator/advance", json={"seconds": 86_400}).json()["activities"]["expired"]
    assert client.get("/_simulator/now").json()["now"] == now + 120 + 86_400
    put = {"table": "snippets", "record": {"name": "new/one", "value": "x", "updated_at": now}}
    assert client.post("/_simulator/put", json=put).json() == {"key": "new/one"}
    assert client.post("/_simulator/delete", json={"table": "snippets", "key": "new/one"}).status_code == 200
    assert client.post("/_simulator/delete", json={"table": "snippets", "key": "new/one"}).status_code == 404


def test_faults_and_behaviour_over_http(simulate: Simulate) -> None:
    """Rules, presets and the treatment of callers can be changed while it runs."""
    _, client = simulate()
    rule = {"kind": "status", "table": "campaigns", "times": None, "params": {"status": 503}}
    assert client.post("/_simulator/faults", json={"rules": [rule]}).json() == {"rules": 1}
    assert client.get("/v1/campaigns").status_code == 503
    assert client.get("/_simulator/faults").json() == {"struck": {"status": 1}}
    assert client.post("/_simulator/faults", json={"preset": "everything", "seed": 2}).json()["rules"] > 10
    assert client.post("/_simulator/faults").json() == {"rules": 0}
    assert client.post("/_simulator/behaviour", json={"denied": ["campaigns"], "rps": 50}).json()["rps"] == 50
    wish = {"others_rps": 2.5, "others_burst": 5, "page_ceiling": 3, "oldest_first": True}
    assert client.post("/_simulator/behaviour", json=wish).json().items() >= wish.items()
    assert client.get("/v1/campaigns").status_code == 403
    assert client.post("/_simulator/behaviour", json={"denied": [], "tokens": ["other"]}).status_code == 200
    assert client.get("/v1/campaigns").status_code == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [("faults", {"rules": [{"kind": "gremlins"}]}), ("evolve", {"sed": 1}), ("advance", {}), ("behaviour", {"x": 1}),
     ("put", {"table": "campaigns", "record": {}}), ("evolve", {"seconds": 0}),
     ("behaviour", {"page_ceiling": 0}), ("behaviour", {"others_rps": -1})],
)  # fmt: skip
def test_a_mistaken_order_is_explained(client: httpx2.Client, path: str, body: dict[str, object]) -> None:
    """A misspelt or incomplete order answers 400 and says why."""
    answer = client.post(f"/_simulator/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.fixture
def served() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`serve` in a process of its own, with its address."""
    with subprocess.Popen([sys.executable, "-W", "error", "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:  # fmt: skip
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_serve_blocks_until_it_is_interrupted(served: tuple[subprocess.Popen[str], str]) -> None:
    """It answers once it says its address, prints nothing, and an interrupt ends it with success."""
    process, url = served
    answer = httpx2.get(f"{url}/v1/messages", headers={"authorization": "Bearer abc"})
    assert json.loads(answer.content)["messages"]
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (0, "", "")
