"""Starting the explorer."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import torch

from vaelab.errors import ConfigError
from vaelab.explorer import answers
from vaelab.explorer.handler import Route
from vaelab.explorer.page import page
from vaelab.explorer.requests import (
    DataRequest,
    DescribeRequest,
    EncodeRequest,
    GroupRequest,
    LatentsRequest,
    SampleRequest,
    WalkRequest,
)
from vaelab.explorer.server import ExplorerServer
from vaelab.explorer.subject import Subject
from vaelab.generation import fitted, sampler_config
from vaelab.interrupts import Interrupts
from vaelab.metrics import seeded
from vaelab.registry import ComponentConfig
from vaelab.runs import Run, load_run
from vaelab.wording import brief_json


class Explorer:
    """One run or two behind a page of this machine.

    Args:
        runs: one, or two that were trained on the same data.
        port: 0 takes one that is free.
        sampler: where whole new latents come from, its config or kind; it is fitted here.
        report: told what was fitted.

    Attributes:
        url: where the page is, with the token that it needs.

    Raises:
        VaelabError: the port is taken, the runs have other data, a run cannot be loaded, or the sampler is not for it.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        port: int = 0,
        sampler: ComponentConfig | str = "prior",
        report: Callable[[str], None] | None = None,
    ) -> None:
        config = sampler_config(sampler) if isinstance(sampler, str) else sampler
        # first of all, since a port that is taken should not cost the time of loading
        self.server = ExplorerServer(port, *page())
        try:
            _require_same_data(runs)
            with torch.no_grad(), seeded(0):
                self.subjects = [Subject(run, fitted(run, config, report)) for run in runs]
        except BaseException:
            self.server.server_close()
            raise
        self.server.routes = self._routes()

    @property
    def url(self) -> str:
        """The address of the page, with the token."""
        return self.server.url

    def serve(self) -> None:
        """Answer until the first SIGINT or SIGTERM, or until `close` is called in another thread; then free the port."""
        try:
            with Interrupts(), suppress(KeyboardInterrupt):
                self.server.serve_forever(poll_interval=0.1)
        finally:
            self.server.server_close()

    def close(self) -> None:
        """End `serve`."""
        self.server.shutdown()

    def __enter__(self) -> Self:
        """Serve in a thread, for tests and notebooks."""
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _routes(self) -> dict[str, Route]:
        def of_run(answer: Callable[[Subject, Any], answers.Answer]) -> Callable[[Any], answers.Answer]:
            def answered(request: Any) -> answers.Answer:
                if request.run >= len(self.subjects):
                    raise ConfigError("there is one run alone")
                with torch.no_grad():
                    return answer(self.subjects[request.run], request)

            return answered

        return {
            "/api/describe": (DescribeRequest, lambda _: {"runs": [answers.description(s) for s in self.subjects]}),
            "/api/group": (GroupRequest, of_run(answers.group)),
            "/api/data": (DataRequest, of_run(answers.data)),
            "/api/latents": (LatentsRequest, of_run(answers.latents)),
            "/api/walk": (WalkRequest, of_run(answers.walk)),
            "/api/encode": (EncodeRequest, of_run(answers.encode)),
            "/api/sample": (SampleRequest, of_run(answers.sample)),
        }


def explore(
    run: str | Path,
    other: str | Path | None = None,
    *,
    port: int = 0,
    device: str = "auto",
    sampler: ComponentConfig | str = "prior",
    report: Callable[[str], None] | None = None,
) -> Explorer:
    """Load one run, or two to be compared, behind a page; `serve` then answers.

    Args:
        run: directory, or the name of an experiment for its newest run.
        other: a second one of the same data.
        port: 0 takes one that is free.
        device: where the models go.
        sampler: where whole new latents come from, its config or kind.
        report: told what was fitted.

    Raises:
        VaelabError: as `Explorer` does, or there is no such run.
    """
    runs = [load_run(found, device) for found in (run, other) if found is not None]
    return Explorer(runs, port, sampler, report)


def open_browser(url: str) -> bool:
    """Open a page in a graphical browser, without waiting for it.

    Returns:
        Whether there is one. A browser of the terminal would take the terminal from this program.
    """
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    if type(browser) is webbrowser.GenericBrowser:
        return False
    threading.Thread(target=browser.open, args=(url,), daemon=True).start()
    return True


def _require_same_data(runs: Sequence[Run]) -> None:
    """Refuse to compare runs whose test data are not the same data in the same order."""
    sides = [
        {
            "shape": list(run.model.data.shape),
            "number of test data": len(run.data.test),
            **{what: run.data.provenance.get(what) for what in ("source", "files")},
        }
        for run in runs
    ]
    for run, side in zip(runs[1:], sides[1:], strict=True):
        for what, value in side.items():
            if value != sides[0][what]:
                raise ConfigError(
                    f"{runs[0].path} and {run.path} cannot be compared: the {what} of their data is "
                    f"{brief_json(sides[0][what])} and {brief_json(value)}. Explore them one by one."
                )
