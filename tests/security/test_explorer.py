"""The explorer's server: other pages, other names, other hands and hostile requests get nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from explorer.conftest import Page
from vaelab.explorer.handler import MAX_BYTES, TOKEN

DESCRIBE = "/api/describe"
LATENTS = {"base": {"kind": "datum", "index": 3}}


@pytest.fixture
def page(served: Callable[..., Page]) -> Page:
    return served("flat")


def error_of(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, str]:
    """Status and sentence of a refusal, which tells nothing else."""
    status, headers, body = answer
    assert headers["Content-Type"] == "application/json"
    content = json.loads(body)
    assert list(content) == ["error"]
    assert "Traceback" not in content["error"]
    assert "\n" not in content["error"]
    return status, content["error"]


def test_it_listens_on_this_machine_alone(page: Page):
    assert page.explorer.server.socket.getsockname()[0] == "127.0.0.1"
    assert page.explorer.server.socket.family == socket.AF_INET
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in addresses - {"127.0.0.1"}:
        with socket.socket() as other:
            other.settimeout(2)
            assert other.connect_ex((address, page.port)) != 0, address


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "host", ["example.org", "example.org:{port}", "127.0.0.1", "127.0.0.1:1", "localhost", "0.0.0.0:{port}", ""]
)
def test_other_names_of_the_machine_are_refused(page: Page, method: str, host: str):
    """A hostile name server may give its own name this address; the browser then sends that name."""
    name = host.format(port=page.port)
    headers = {**page.headers, "Host": name, "Origin": f"http://{name}"}
    body = b"{}" if method == "POST" else None
    status, sentence = error_of(page.send(method, DESCRIBE if body else "/", body, headers))
    assert (status, sentence) == (403, "the explorer answers under 127.0.0.1 and localhost alone")


@pytest.mark.parametrize(
    "origin",
    ["http://example.org", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "http://localhost:{port}", ""],
)
def test_other_pages_are_refused(page: Page, origin: str):
    headers = {**page.headers, "Origin": origin.format(port=page.port)}
    answer = page.send("POST", DESCRIBE, b"{}", headers)
    assert error_of(answer)[0] == 403
    assert not [name for name in answer[1] if name.lower().startswith("access-control")]
    assert error_of(page.send("GET", "/", None, headers))[0] == 403
    del headers["Origin"]
    assert error_of(page.send("POST", DESCRIBE, b"{}", headers))[0] == 403


@pytest.mark.parametrize("token", [None, "", "x", "é", "0" * 43])
def test_nothing_is_told_without_the_token(page: Page, token: str | None):
    headers = {name: value for name, value in page.headers.items() if name != TOKEN}
    if token is not None:
        headers[TOKEN] = token
    for path in (*page.explorer.server.routes, "/api/nothing"):
        status, sentence = error_of(page.send("POST", path, b"{}", headers))
        assert (status, sentence[:9]) == (403, "the token")


def test_the_token_is_new_and_long_and_not_in_the_page(page: Page):
    token = page.explorer.server.token
    assert re.fullmatch(r"[\w-]{43}", token), "256 bits"
    status, _, body = page.send("GET", "/", None, {})
    assert status == 200
    assert token.encode() not in body
    assert page.explorer.subjects[0].run.path.name.encode() not in body, "the page holds nothing of the run"


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
def test_other_methods_are_refused(page: Page, method: str):
    status, headers, body = page.send(method, DESCRIBE, None, page.headers)
    assert status == 405
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert method == "HEAD" or json.loads(body)["error"] == "the explorer knows GET and POST"


@pytest.mark.parametrize("path", ["/etc/passwd", "/../../etc/passwd", "/%2e%2e/", "/?", "/api/describe", "/index.html"])
def test_there_is_one_page_and_no_file(page: Page, path: str):
    assert error_of(page.send("GET", path, None, {}))[0] == 404
    assert error_of(page.send("POST", "/api/.." + path, b"{}"))[0] == 404


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonx"]
)
def test_a_form_of_another_page_cannot_ask(page: Page, kind: str):
    assert error_of(page.send("POST", DESCRIBE, b"{}", {**page.headers, "Content-Type": kind}))[0] == 415


@pytest.mark.parametrize(
    ("length", "status"),
    [(str(MAX_BYTES + 1), 413), ("9" * 40, 413), ("-1", 411), ("abc", 411), ("²", 411), ("", 411), ("+2", 411)],
)
def test_sizes_are_checked_before_a_byte_is_read(page: Page, length: str, status: int):
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as connection:
        lines = [f"POST {DESCRIBE} HTTP/1.1", f"Host: 127.0.0.1:{page.port}", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in page.headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        answer = b""
        while part := connection.recv(65536):  # it ends, since the connection is closed
            answer += part
    assert int(answer.split()[1]) == status


def test_chunks_are_refused(page: Page):
    headers = {**page.headers, "Transfer-Encoding": "chunked"}
    assert error_of(page.send("POST", DESCRIBE, b"2\r\n{}\r\n0\r\n\r\n", headers))[0] == 411


def deep(levels: int) -> bytes:
    return b'{"base":' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b'{"run": 0, "run": 1}',
        deep(50),
        deep(200_000),
        b'{"run": ' + b"9" * 5000 + b"}",
        json.dumps({**LATENTS, "path": "/etc/passwd"}).encode(),
        json.dumps({**LATENTS, "run": "0"}).encode(),
        json.dumps({**LATENTS, "run": True}).encode(),
        json.dumps({**LATENTS, "run": 2}).encode(),
        json.dumps({**LATENTS, "seed": -1}).encode(),
        json.dumps({**LATENTS, "seed": 2**31}).encode(),
        json.dumps({**LATENTS, "base": {"kind": "file", "path": "/etc/passwd"}}).encode(),
        json.dumps({"base": {"kind": "prior", "temperature": 0.0}}).encode(),
        json.dumps({"base": {"kind": "prior", "temperature": 1e9}}).encode(),
        json.dumps({**LATENTS, "moves": [{"group": 0, "unit": 0, "value": 0}] * 513}).encode(),
        *(
            f'{{"base": {{"kind": "datum", "index": 3}}, "moves": [{{"group": 0, "unit": 0, "value": {value}}}]}}'.encode()
            for value in ("NaN", "Infinity", "-Infinity", "1e400", "1e7", '"1"', "true", "null")
        ),
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_requests_are_checked_strictly(page: Page, body: bytes):
    status, sentence = error_of(page.send("POST", "/api/latents", body))
    assert status == 400
    assert sentence.startswith(("request: $", "the request is no JSON"))
    assert len(sentence) < 400


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("sample", {"number": 0}),
        ("sample", {"number": 65}),
        ("sample", {"temperature": 11.0}),
        ("sample", {"keep": -1}),
        ("data", {"number": 10_000}),
        ("walk", {"start": LATENTS["base"], "end": LATENTS["base"], "places": [0.5] * 34}),
        ("walk", {"start": LATENTS["base"], "end": LATENTS["base"], "places": [1.5]}),
        ("walk", {"start": LATENTS["base"], "end": LATENTS["base"], "places": []}),
        ("encode", {"source": {"kind": "drawn", "values": [0.5] * (2**16 + 1)}}),
        ("encode", {"source": {"kind": "drawn", "values": [1e7] * 64}}),
        ("describe", {"run": 0}),
    ],
)
def test_counts_are_bounded(page: Page, path: str, content: dict[str, Any]):
    assert page.refused(path, **content)[0] == 400


def test_every_answer_has_the_headers_and_the_page_its_policy(page: Page):
    answers = [page.send("GET", "/", None, {}), page.send("POST", DESCRIBE, b"{}"), page.send("POST", "/no", b"{}")]
    for _, headers, _ in answers:
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Python" not in headers["Server"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    policy = dict(part.strip().split(" ", 1) for part in answers[0][1]["Content-Security-Policy"].split(";"))
    text = answers[0][2].decode()
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        [block] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["img-src"] == "data:"
    assert not re.search(
        r"\son\w+=|\sstyle=|javascript:|innerHTML|insertAdjacentHTML|document\.write|\beval\b|\bFunction\(", text
    )
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_a_silent_crowd_does_not_shut_the_page_out_for_good(page: Page):
    crowd = [socket.create_connection(("127.0.0.1", page.port), timeout=20) for _ in range(40)]
    try:
        # the server takes its time on a busy machine; a socket that was closed says so again each time
        deadline = time.monotonic() + 20
        while sum(map(_closed, crowd)) < 40 - 32:
            assert time.monotonic() < deadline, "the server takes more connections than it says"
            time.sleep(0.1)
    finally:
        for one in crowd:
            one.close()
    for _ in range(50):
        try:
            assert page.send("POST", DESCRIBE, b"{}")[0] == 200
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the places of those who left are not given to others")


def _closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_request_that_nobody_waits_for_is_not_computed(page: Page, monkeypatch: pytest.MonkeyPatch):
    server = page.explorer.server
    computed: list[Any] = []
    routes = dict(server.routes)
    model, answer = routes["/api/sample"]

    def counted(request: Any) -> dict[str, Any]:
        computed.append(request)
        return answer(request)

    monkeypatch.setattr(server, "routes", {**routes, "/api/sample": (model, counted)})
    with server.computing:  # somebody else's answer takes long
        lines = ["POST /api/sample HTTP/1.1", f"Host: 127.0.0.1:{page.port}", "Content-Length: 2"]
        lines += [f"{name}: {value}" for name, value in page.headers.items()]
        with socket.create_connection(("127.0.0.1", page.port)) as one:
            one.sendall(("\r\n".join([*lines, "", ""]) + "{}").encode())
            time.sleep(0.3)
        time.sleep(0.2)
    assert page.ask("sample", number=1)["items"]
    assert len(computed) == 1


FORBIDDEN = (
    "open",
    "exec",
    "import",
    "os.",
    "subprocess.",
    "pickle.",
    "marshal.",
    "shutil.",
    "socket.connect",
    "ctypes.",
)
_watching = False
_seen: list[str] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith(FORBIDDEN) and not (event == "exec" and _checks_shapes()):
        _seen.append(f"{event} {arguments!r}"[:200])


def _checks_shapes() -> bool:
    """Whether it is the tests' own check of annotations that runs something."""
    # nearest first: this function, the hook, and what asked for it
    names = {sys._getframe(above).f_code.co_name for above in range(2, 7)}
    return bool(names & {"_destring_annotation", "_make_fn_with_signature"})


@pytest.fixture
def seen() -> Iterator[list[str]]:
    """What is opened, run or called while the block lasts. A hook stays for good, and is quiet afterwards."""
    global _watching
    if "vaelab_explorer_hook" not in sys.__dict__:
        sys.__dict__["vaelab_explorer_hook"] = True
        sys.addaudithook(_hook)
    _seen.clear()
    yield _seen
    _watching = False


def test_no_request_opens_a_file_or_runs_anything(page: Page, seen: list[str]):
    global _watching
    requests: list[tuple[str, dict[str, Any]]] = [
        ("describe", {}),
        ("group", {"group": 0}),
        ("data", {"number": 4}),
        ("latents", {**LATENTS, "moves": [{"group": 0, "unit": 1, "value": 2.0}]}),
        ("walk", {"start": LATENTS["base"], "end": {"kind": "datum", "index": 1}, "places": [0.5]}),
        ("encode", {"source": {"kind": "drawn", "values": [0.5] * 64}}),
        ("sample", {"number": 2}),
    ]
    for path, content in requests:  # modules are imported when they are first needed
        page.ask(path, **content)
    connection = page.send
    hostile = [b"{", deep(50), b'{"path": "/etc/passwd"}', b'{"base": {"kind": "file", "path": "/etc/passwd"}}']
    bodies = [(f"/api/{path}", json.dumps(content).encode()) for path, content in requests]
    bodies += [("/api/latents", body) for body in hostile]
    connection("POST", *bodies[-1])
    _watching = True
    for path, body in bodies:
        connection("POST", path, body)
    connection("GET", "/../../etc/passwd", None, {})
    _watching = False
    own = "socket.connect"  # of this test
    assert [event for event in seen if not event.startswith(own)] == []
    assert len(seen) == len(bodies) + 1, "the hook watches"
