"""`cio-replicate simulate`: what its options make of the workspace and of its callers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx2

COMMAND = Path(sys.executable).parent / "cio-replicate"


def test_options_bring_other_traffic_and_bursts() -> None:
    """With the limit used up by others a first request is refused; most messages lie in a few hours."""
    options = ["--messages=2000", "--bursts=0.9", "--others-rps=500", "--rps=10"]
    with subprocess.Popen([COMMAND, "simulate", *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        refused = httpx2.get(f"{url}/v1/campaigns", headers={"authorization": "Bearer simulator-token"})
        records = httpx2.get(f"{url}/_simulator/truth/messages").content.splitlines()
        process.terminate()
    assert refused.status_code == 429
    hours = Counter(json.loads(record)["created"] // 3_600 for record in records)
    assert sum(number for _, number in hours.most_common(6)) > 1_700
