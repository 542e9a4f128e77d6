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
from vaelab.interrupts import Interrupts
from vaelab.registry import SAMPLERS, ComponentConfig
from vaelab.runs import Run, load_run
from vaelab.wording import brief_json


class Explorer:
    """One run or two behind a page of this machine.

    Args:
        runs: one, or two that were trained on the same data.
        port: 0 takes one that is free.
        sampler: where whole new latents come from; the prior where None. It is fitted here.

    Attributes:
        url: where the page is, with the token that it needs.

    Raises:
        VaelabError: the port is taken, the runs have other data, or a run cannot be loaded.
    """

    def __init__(self, runs: Sequence[Run], port: int = 0, sampler: ComponentConfig | None = None) -> None:
        # first of all, since a port that is taken should not cost the time of loading
        self.server = ExplorerServer(port, *page())
        try:
            self.subjects = [Subject(run, None if sampler is None else SAMPLERS.build(sampler)) for run in runs]
            _require_same_data(self.subjects)
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
    sampler: ComponentConfig | None = None,
) -> Explorer:
    """Load one run, or two to be compared, behind a page; `serve` then answers.

    Args:
        run: directory, or the name of an experiment for its newest run.
        other: a second one of the same data.
        port: 0 takes one that is free.
        device: where the models go.
        sampler: where whole new latents come from; the prior where None.

    Raises:
        VaelabError: as `Explorer` does, or there is no such run.
    """
    return Explorer([load_run(found, device) for found in (run, other) if found is not None], port, sampler)


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


def _require_same_data(subjects: Sequence[Subject]) -> None:
    """Refuse to compare runs whose test data are not the same data in the same order."""
    if len(subjects) < 2:
        return
    one, two = subjects
    sides = (_said(one), _said(two))
    for what in sides[0]:
        if sides[0][what] != sides[1][what]:
            raise ConfigError(
                f"{one.run.path} and {two.run.path} cannot be compared: the {what} of their data is "
                f"{brief_json(sides[0][what])} and {brief_json(sides[1][what])}. Explore them one by one."
            )


def _said(subject: Subject) -> dict[str, Any]:
    provenance = subject.run.data.provenance
    return {
        "shape": list(subject.model.data.shape),
        "number of test data": len(subject.test),
        **{what: provenance.get(what) for what in ("source", "files")},
    }
