"""The smoke test of a deployment, on the local stack and on services that misbehave; and what all
scripts of infra/ have in common."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.infra.azure_cli import AzureCli, install

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def az(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AzureCli:
    """An `az` before any other on PATH."""
    cli = install(tmp_path / "az")
    monkeypatch.setenv("PATH", cli.environment["PATH"])
    return cli


# --- the smoke test -------------------------------------------------------------------------------


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with a token that a scripted service looks at no further."""
    path = tmp_path / "token"
    path.write_text("some-token")
    return path


def run_smoke(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "infra/smoke.py"), *arguments],
        env={**os.environ, "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_smoke_passes_on_a_service_that_works(api: str, token: str, token_file: Path) -> None:
    token_file.write_text(token)
    done = run_smoke("--url", api, "--token-file", str(token_file), "--patience", "60")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"Created a flow in [\d.]+ s\.\nIt was ready [\d.]+ s after its creation began\.\n"
        r"Deleted what was made\.\n",
        done.stdout,
    )


Answers = dict[str, list[tuple[int, dict[str, Any]]]]


@dataclass(frozen=True)
class Scripted:
    """A service that answers as scripted: method to answers, the last one again and again."""

    root: str
    answers: Answers
    requests: list[tuple[str, str, str | None]]


@pytest.fixture
def scripted() -> Iterator[Callable[[Answers], Scripted]]:
    """Starts services on free ports; they stop at the end of the test."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(answers: Answers) -> Scripted:
        requests: list[tuple[str, str, str | None]] = []

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                requests.append((self.command, self.path, self.headers.get("Authorization")))
                left = answers[self.command]
                status, value = left.pop(0) if len(left) > 1 else left[0]
                text = json.dumps(value).encode() if status != 204 else b""
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        servers.append((server, thread))
        return Scripted(f"http://127.0.0.1:{server.server_port}/beta", answers, requests)

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


CREATED = (201, {"id": "1"})


def test_smoke_reports_a_flow_that_failed(
    scripted: Callable[[Answers], Scripted], token_file: Path
) -> None:
    answers: Answers = {
        "POST": [CREATED],
        "GET": [(200, {"readinessStatus": "failed"}), (404, {})],
        "DELETE": [(204, {})],
    }
    done = run_smoke("--url", scripted(answers).root, "--token-file", str(token_file))
    assert done.returncode == 1
    assert "readinessStatus is 'failed'" in done.stderr
    assert "Deleted what was made." in done.stdout


def test_smoke_reports_a_flow_that_is_never_ready(
    scripted: Callable[[Answers], Scripted], token_file: Path
) -> None:
    answers: Answers = {
        "POST": [CREATED],
        "GET": [(200, {"readinessStatus": "notReady"})],
        "DELETE": [(204, {})],
    }
    url = scripted(answers).root
    done = run_smoke("--url", url, "--token-file", str(token_file), "--patience", "0.1")
    assert done.returncode == 1
    assert "still 'notReady'" in done.stderr


def test_smoke_reports_what_it_could_not_delete(
    scripted: Callable[[Answers], Scripted], token_file: Path
) -> None:
    answers: Answers = {
        "POST": [CREATED],
        "GET": [(200, {"readinessStatus": "ready"})],
        "DELETE": [(500, {})],
    }
    done = run_smoke("--url", scripted(answers).root, "--token-file", str(token_file))
    assert done.returncode == 3
    assert "Delete it by hand: DELETE http" in done.stderr


def test_smoke_shows_why_it_was_refused_and_not_its_token(
    scripted: Callable[[Answers], Scripted], token_file: Path
) -> None:
    answers: Answers = {"POST": [(401, {"error": {"code": "InvalidAuthenticationToken"}})]}
    service = scripted(answers)
    token_file.write_text("very-secret\n")
    done = run_smoke("--url", service.root, "--token-file", str(token_file))
    assert done.returncode == 1
    assert "401 and not 201" in done.stderr
    assert "InvalidAuthenticationToken" in done.stderr
    assert "very-secret" not in done.stdout + done.stderr
    assert [token for _, _, token in service.requests] == ["Bearer very-secret"]


def test_smoke_takes_its_token_to_no_other_place(
    scripted: Callable[[Answers], Scripted], token_file: Path
) -> None:
    service = scripted({"POST": [(307, {})]})
    assert run_smoke("--url", service.root, "--token-file", str(token_file)).returncode == 1
    assert len(service.requests) == 1


def test_smoke_gets_its_token_from_the_azure_cli(
    az: AzureCli, scripted: Callable[[Answers], Scripted]
) -> None:
    az.answer((["account", "get-access-token", "--resource", "api://some"], 0, "from-az"))
    service = scripted({"POST": [(403, {})]})
    assert run_smoke("--url", service.root, "--audience", "api://some").returncode == 1
    assert service.requests[0][2] == "Bearer from-az"


def test_smoke_without_a_token_sends_no_request(
    az: AzureCli, scripted: Callable[[Answers], Scripted]
) -> None:
    az.answer((["account"], 1, "Please run 'az login'"))
    service = scripted({"POST": [CREATED]})
    done = run_smoke("--url", service.root, "--audience", "api://some")
    assert done.returncode == 2
    assert "Please run 'az login'" in done.stderr
    assert service.requests == []


@pytest.mark.parametrize("text", ["", "two words", "\N{EN DASH}"])
def test_smoke_refuses_a_file_that_holds_no_token(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text, "utf-8")
    done = run_smoke("--url", "https://example.invalid/beta", "--token-file", str(path))
    assert done.returncode == 2
    assert str(path) in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "http://example.invalid/beta", "--audience", "a"],
        ["--url", "ftp://example.invalid/beta", "--audience", "a"],
        ["--url", "https:///beta", "--audience", "a"],
        ["--url", "https://example.invalid/beta"],
        ["--url", "https://example.invalid/beta", "--audience", "a", "--patience", "0"],
        ["--audience", "a"],
    ],
)
def test_smoke_refuses_a_wrong_command_line(arguments: list[str]) -> None:
    done = run_smoke(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr


SCRIPTS = [ROOT / ".ci/run", *sorted((ROOT / "infra").rglob("*.sh"))]


@pytest.mark.parametrize("script", SCRIPTS[1:], ids=lambda script: str(script.name))
def test_scripts_of_infra_are_for_any_posix_shell(script: Path) -> None:
    assert script.read_text("utf-8").startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", str(script)], check=False, timeout=10).returncode == 0
    assert script.stat().st_mode & stat.S_IXUSR


def test_shellcheck_finds_nothing() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        [str(shellcheck), *map(str, SCRIPTS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


def find_bicep(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Look for the compiler from a copy of infra/ that has nothing beside it."""
    (folder / "infra").mkdir()
    script = Path(shutil.copy(ROOT / "infra/find-bicep.sh", folder / "infra"))
    tools = folder / "tools"
    tools.mkdir()
    for name in ("sh", "dirname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        ["sh", str(script)],
        env={"PATH": str(tools), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_missing_compiler_is_a_failure_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    done = find_bicep(tmp_path / "a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("There is no Bicep compiler: install one")


def test_the_compiler_is_what_bicep_names(tmp_path: Path) -> None:
    named = program(tmp_path / "some" / "compiler")
    (tmp_path / "a").mkdir()
    done = find_bicep(tmp_path / "a", BICEP=str(named))
    assert (done.returncode, done.stdout) == (0, f"{named}\n")


def test_a_wrong_name_of_the_compiler_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    program(tmp_path / "shared" / "tools" / "bicep")
    done = find_bicep(tmp_path / "a", BICEP="/no/such/program")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/no/such/program" in done.stderr


def test_the_compiler_is_found_beside_the_project(tmp_path: Path) -> None:
    beside = program(tmp_path / "shared" / "tools" / "bicep")
    (tmp_path / "a").mkdir()
    done = find_bicep(tmp_path / "a")
    assert done.returncode == 0
    assert Path(done.stdout.strip()).resolve() == beside
