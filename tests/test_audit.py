"""Advisories on the pinned dependencies: reported where the database answers, skipped where it does not."""

import json
import runpy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "audit.py"


@contextmanager
def database(answer: Any) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers like the database of advisories, its address, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps(answer(asked[-1]) if callable(answer) else answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name that it overrides)
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/querybatch", asked
        server.shutdown()


def audited(address: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("OSV_ADDRESS", address)
    return runpy.run_path(str(SCRIPT))["main"]()


def results(advisory: str | None) -> Any:
    def answer(asked: Any) -> Any:
        found = {"vulns": [{"id": advisory, "modified": "2026-04-01T00:00:00Z"}]}
        return {"results": [found if advisory and q["package"]["name"] == "numpy" else {} for q in asked["queries"]]}

    return answer


def test_an_advisory_fails_and_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with database(results("GHSA-0000")) as (address, asked):
        assert audited(address, monkeypatch) == 1
    assert "https://osv.dev/vulnerability/GHSA-0000" in capsys.readouterr().out
    assert {query["package"]["name"] for query in asked[0]["queries"]} >= {"torch", "numpy", "hydra-core"}
    assert all(query["version"][0].isdigit() for query in asked[0]["queries"])


def test_no_advisory_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with database(results(None)) as (address, _):
        assert audited(address, monkeypatch) == 0
    assert "no advisories" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [{"results": []}, {"message": "down"}, []])
def test_no_usable_answer_skips(answer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with database(answer) as (address, _):
        assert audited(address, monkeypatch) == 0
    assert capsys.readouterr().out.startswith("audit: skipped")


def test_an_unreachable_database_skips_with_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with database({}) as (address, _):
        pass
    assert audited(address, monkeypatch) == 0
    assert capsys.readouterr().out.count("\n") == 1


def test_every_pin_is_read_whatever_its_marker() -> None:
    pins = runpy.run_path(str(SCRIPT))["pins"]
    text = "numpy==2.4.6 ; python_version < '3.12'\nnumpy==2.5.5 ; python_version >= '3.12'\n# a remark\nPyWavelets==1.9.0\n"
    assert pins(text) == [("numpy", "2.4.6"), ("numpy", "2.5.5"), ("PyWavelets", "1.9.0")]
