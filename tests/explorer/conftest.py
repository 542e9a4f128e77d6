"""Tiny runs of each kind of model, trained for some steps, behind a server."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

import vaelab
from vaelab.explorer import Explorer
from vaelab.explorer.handler import TOKEN

DIGITS: dict[str, Any] = {"kind": "digits", "binarisation": "threshold"}
FLAT: dict[str, Any] = {
    "encoder": {"kind": "mlp", "hidden": [16]},
    "posterior": "diagonal_normal",
    "prior": {"kind": "standard_normal", "dim": 5},
    "decoder": {"kind": "mlp", "hidden": [16]},
    "likelihood": "bernoulli",
}
CODES = {"codes": 6, "dim": 4, "positions": [2, 2]}
COLUMNS = [[4, 3]]

#: What is changed of the flat model, and its data.
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "flat": ({}, DIGITS),
    "hierarchy": (
        {
            "encoder": {"kind": "pyramid", "width": 8},
            "prior": {"kind": "top_down", "top": {"kind": "standard_normal", "dim": 3}, "groups": [4, 2], "width": 8},
        },
        DIGITS,
    ),
    "codes": (
        {
            "encoder": {"kind": "conv", "channels": [4, 8], "hidden": []},
            "posterior": {"kind": "vq"},
            "prior": {"kind": "autoregressive_codes", "hidden": 6, **CODES},
            "decoder": {"kind": "conv", "channels": [8, 4]},
        },
        DIGITS,
    ),
    "sequence": (
        {
            "encoder": {"kind": "gru", "hidden": 8},
            "prior": {"kind": "markov_chain", "steps": 8, "dim": 3, "hidden": 8},
            "decoder": {"kind": "per_step", "hidden": [8]},
        },
        DIGITS,
    ),
    "conditional": (
        {
            "encoder": {"kind": "conditional", "encoder": {"kind": "mlp", "hidden": [16]}},
            "prior": {"kind": "conditional", "dim": 4, "hidden": [6], "readout": "latent_and_condition"},
        },
        {**DIGITS, "condition": "label"},
    ),
    "table": (
        {
            "encoder": {"kind": "tabular", "categorical": COLUMNS, "hidden": [16]},
            "likelihood": {"kind": "mixed_columns", "categorical": COLUMNS},
        },
        {"kind": "incomplete", "share": 0.3, "data": {"kind": "small_tables", "table": "iris", "with_label": True}},
    ),
    "sphere": ({"posterior": "von_mises_fisher", "prior": {"kind": "uniform_sphere", "dim": 4}}, DIGITS),
    "ball": ({"posterior": "wrapped_normal", "prior": {"kind": "ball_normal", "dim": 3}}, DIGITS),
    "gamma": ({"posterior": "gamma", "prior": {"kind": "gamma", "dim": 3}}, DIGITS),
    "bits": ({"posterior": "bernoulli", "prior": {"kind": "bernoulli", "dim": 6}}, DIGITS),
    "classes": (
        {"posterior": "categorical", "prior": {"kind": "categorical", "variables": 3, "classes": 4}},
        DIGITS,
    ),
    "map": (
        {
            "encoder": {"kind": "conv", "channels": [4, 8], "hidden": []},
            "prior": {"kind": "standard_normal", "dim": [3, 2, 2]},
            "decoder": {"kind": "conv", "channels": [8, 4]},
        },
        DIGITS,
    ),
    "autoencoder": ({"posterior": "dirac"}, DIGITS),
}


@dataclass
class Page:
    """A server as a page of its own sees it."""

    explorer: Explorer

    @property
    def port(self) -> int:
        return self.explorer.server.server_port

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "Origin": f"http://127.0.0.1:{self.port}",
            TOKEN: self.explorer.server.token,
        }

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; the headers are those of the page unless others are given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, self.headers if headers is None else headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def ask(self, path: str, **content: Any) -> dict[str, Any]:
        status, _, body = self.send("POST", f"/api/{path}", json.dumps(content).encode())
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def refused(self, path: str, **content: Any) -> tuple[int, str]:
        status, _, body = self.send("POST", f"/api/{path}", json.dumps(content).encode())
        return status, json.loads(body)["error"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], vaelab.Run]:
    """A run of a kind, trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("explored")
    runs: dict[str, vaelab.Run] = {}

    def run(kind: str) -> vaelab.Run:
        if kind not in runs:
            changes, data = MODELS[kind]
            content = {
                "name": kind,
                "data": data,
                "model": {**FLAT, **changes},
                "training": {"steps": 12, "batch_size": 64, "optimiser": {"kind": "adam", "lr": 0.01}},
                "evaluation": {"metrics": ["reconstruction"], "figures": [], "report": False},
            }
            if kind == "autoencoder":
                content["objective"] = {"kind": "elbo", "divergences": []}
            runs[kind] = vaelab.train(content, folder, device="cpu")
        return runs[kind]

    return run


@pytest.fixture(scope="session")
def served(trained: Callable[[str], vaelab.Run]) -> Iterator[Callable[..., Page]]:
    """A server of one kind of model or of two, started when it is first asked for."""
    with ExitStack() as stack:
        pages: dict[tuple[str, ...], Page] = {}

        def page(*kinds: str) -> Page:
            if kinds not in pages:
                explorer = Explorer([trained(kind) for kind in kinds])
                pages[kinds] = Page(stack.enter_context(explorer))
            return pages[kinds]

        yield page
