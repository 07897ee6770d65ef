"""The scripts around a deployment: the smoke test on the local stack, the others with a recorder in
place of the Azure CLI, which has nothing to talk to here."""

from __future__ import annotations

import json
import os
import re
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

from shared.adapters.keyring import Keyring

ROOT = Path(__file__).resolve().parents[2]
HOOK = ROOT / "infra/hooks/postprovision.sh"
HOOK_SETTINGS = {
    "AZURE_SUBSCRIPTION_ID": "11111111-1111-1111-1111-111111111111",
    "AZURE_RESOURCE_GROUP": "rg-test",
    "AZURE_KEY_VAULT_NAME": "kv-test",
    "KEY_RING_NAME": "password-keys",
    "FUNCTION_APP_NAME": "func-test",
}

RECORDER = """#!{python}
import json, sys
from pathlib import Path
here = Path(__file__).parent
arguments = sys.argv[1:]
files = {{}}
for argument in arguments:
    if argument.startswith("@"):
        path = Path(argument[1:])
        files[argument] = {{"text": path.read_text(), "mode": path.stat().st_mode & 0o777}}
with (here / "calls.jsonl").open("a") as log:
    print(json.dumps({{"arguments": arguments, "files": files}}), file=log)
for words, code, out in json.loads((here / "answers.json").read_text()):
    if all(word in " ".join(arguments) for word in words):
        print(out, file=sys.stderr if code else sys.stdout)
        sys.exit(code)
"""


@dataclass(frozen=True)
class AzureCli:
    """A recorder named `az`: what it was asked, and what it answers."""

    folder: Path

    def answer(self, *answers: tuple[list[str], int, str]) -> None:
        """Give, for commands that hold all of some words, an exit code and an output."""
        (self.folder / "answers.json").write_text(json.dumps(answers))

    @property
    def calls(self) -> list[dict[str, Any]]:
        log = self.folder / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def az(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AzureCli:
    """An `az` before any other on PATH."""
    folder = tmp_path / "az"
    folder.mkdir()
    script = folder / "az"
    script.write_text(RECORDER.format(python=sys.executable))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    cli = AzureCli(folder)
    cli.answer()
    monkeypatch.setenv("PATH", cli.environment["PATH"])
    return cli


# --- the hook that makes the password key ---------------------------------------------------------


def run_hook(az: AzureCli, **changes: str) -> subprocess.CompletedProcess[str]:
    settings = {**HOOK_SETTINGS, **changes}
    return subprocess.run(
        ["sh", str(HOOK)],
        env={**az.environment, **{name: value for name, value in settings.items() if value}},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_hook_keeps_a_key_that_is_there(az: AzureCli) -> None:
    az.answer((["rest", "get", "/vaults/kv-test/secrets"], 0, "other\npassword-keys"))
    done = run_hook(az)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(az.calls) == 1


def test_hook_makes_a_key_that_the_app_can_use(az: AzureCli) -> None:
    az.answer((["rest", "get", "/vaults/kv-test/secrets"], 0, "other-password-keys"))
    done = run_hook(az)
    assert (done.returncode, done.stderr) == (0, "")
    _, deployment, refresh = az.calls
    assert deployment["arguments"][:3] == ["deployment", "group", "create"]
    assert "secretName=password-keys" in deployment["arguments"]
    (file,) = deployment["files"].values()
    Keyring.read(json.loads(file["text"])["passwordKeys"]["value"])
    assert any(
        word.endswith(
            "/sites/func-test/config/configreferences/appsettings/refresh?api-version=2022-03-01"
        )
        for word in refresh["arguments"]
    )


def test_hook_makes_another_key_each_time(az: AzureCli) -> None:
    for _ in range(2):
        assert run_hook(az).returncode == 0
    texts = [file["text"] for call in az.calls for file in call["files"].values()]
    assert len(texts) == len(set(texts)) == 2


def test_hook_shows_the_key_to_nobody(az: AzureCli) -> None:
    done = run_hook(az)
    (argument, file), *_ = [item for call in az.calls for item in call["files"].items()]
    key = json.loads(file["text"])["passwordKeys"]["value"].partition(":")[2]
    assert key not in done.stdout + done.stderr
    assert not any(key in word for call in az.calls for word in call["arguments"])
    assert file["mode"] == 0o600
    assert not Path(argument[1:]).exists()


def test_hook_makes_no_key_when_it_cannot_know_whether_there_is_one(az: AzureCli) -> None:
    az.answer((["rest", "get"], 1, "AuthorizationFailed"))
    done = run_hook(az)
    assert done.returncode != 0
    assert "AuthorizationFailed" in done.stderr
    assert len(az.calls) == 1


@pytest.mark.parametrize("name", HOOK_SETTINGS)
def test_hook_names_what_is_missing(az: AzureCli, name: str) -> None:
    done = run_hook(az, **{name: ""})
    assert done.returncode != 0
    assert name in done.stderr
    assert az.calls == []


def test_hooks_for_both_kinds_of_shell_do_the_same() -> None:
    posix = HOOK.read_text("utf-8")
    windows = HOOK.with_suffix(".ps1").read_text("utf-8")
    for text in (posix, windows):
        for name in HOOK_SETTINGS:
            assert name in text
        assert re.findall(r"api-version=([\d-]+)", text) == ["2025-05-01", "2022-03-01"]
        assert re.findall(r"\baz (rest --method \w+|deployment group create)", text) == [
            "rest --method get",
            "deployment group create",
            "rest --method post",
        ]


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
    """A service that answers as told: method to answers, the last one again and again."""

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


def test_smoke_tells_of_a_flow_that_failed(
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


def test_smoke_tells_of_a_flow_that_is_never_ready(
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


def test_smoke_tells_of_what_it_could_not_delete(
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


def test_smoke_asks_the_azure_cli_for_a_token(
    az: AzureCli, scripted: Callable[[Answers], Scripted]
) -> None:
    az.answer((["account", "get-access-token", "--resource", "api://some"], 0, "from-az"))
    service = scripted({"POST": [(403, {})]})
    assert run_smoke("--url", service.root, "--audience", "api://some").returncode == 1
    assert service.requests[0][2] == "Bearer from-az"


def test_smoke_without_a_token_asks_for_nothing(
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


def test_scripts_of_infra_are_for_any_posix_shell() -> None:
    for script in sorted((ROOT / "infra").rglob("*.sh")):
        assert script.read_text("utf-8").startswith("#!/bin/sh\n")
        assert subprocess.run(["sh", "-n", str(script)], check=False, timeout=10).returncode == 0
        assert script.stat().st_mode & stat.S_IXUSR
