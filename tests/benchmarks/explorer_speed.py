"""How long the explorer takes for a change of a slider: request, decoder, PNG and answer over HTTP.

    python tests/benchmarks/explorer_speed.py RUN --changes 500

One thread computes, as `OMP_NUM_THREADS=1` would have it. The time is that of the whole request as a browser sees it, on a
connection that stays open. For comparison the decoder alone is timed in turn with it, so that other work on the machine
disturbs both alike.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import time
from pathlib import Path

import torch

from vaelab.explorer import Explorer
from vaelab.explorer.handler import TOKEN
from vaelab.runs import load_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--changes", type=int, default=500)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = load_run(arguments.run, "cpu")
    z = run.model.encode(run.data.test.fetch(torch.tensor([0])).x, mean=True)
    whole, decoder = [], []
    with Explorer([run]) as explorer:
        port = explorer.server.server_port
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
        headers[TOKEN] = explorer.server.token
        for change in range(arguments.changes + 20):
            move = {"group": 0, "unit": change % 5, "value": -3 + 6 * change / arguments.changes}
            body = json.dumps({"base": {"kind": "datum", "index": 0}, "moves": [move]})
            begun = time.perf_counter()
            connection.request("POST", "/api/latents", body, headers)
            answer = connection.getresponse()
            content = answer.read()
            whole.append(1000 * (time.perf_counter() - begun))
            assert answer.status == 200, content
            begun = time.perf_counter()
            run.model.decode(z)
            decoder.append(1000 * (time.perf_counter() - begun))
        connection.close()
    found = {name: spread(times[20:]) for name, times in (("slider", whole), ("decoder alone", decoder))}
    for name, values in found.items():
        print(f"{name:<14}" + "  ".join(f"{what} {value:.2f} ms" for what, value in values.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps({"changes": arguments.changes, "milliseconds": found}, indent=2) + "\n")


def spread(times: list[float]) -> dict[str, float]:
    """The median, the value that 95 of 100 stay below, and the largest."""
    return {
        "median": round(statistics.median(times), 3),
        "95 %": round(statistics.quantiles(times, n=20)[-1], 3),
        "largest": round(max(times), 3),
    }


if __name__ == "__main__":
    main()
