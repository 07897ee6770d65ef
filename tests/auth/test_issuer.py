"""The local issuer as a process, and the command that prints its tokens."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from local.access_token import READ, all_roles
from local.issuer import KEY_FILE, auth_settings, public_jwk, signing_key
from shared.adapters.entra import Authorizer, AuthSettings
from shared.adapters.signing_keys import SigningKeys
from shared.domain import permissions
from shared.domain.context import LOCAL_TENANT, Caller
from shared.domain.errors import Forbidden, Unauthenticated
from shared.domain.permissions import Permission

SECONDS = 30.0


@contextmanager
def issuing(state: Path, port: int = 0) -> Iterator[int]:
    """A running issuer's port; it must end well on SIGTERM."""
    command = [sys.executable, "-m", "local.issuer", "--port", str(port), "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().removeprefix("Issuer listening on ").strip()
            assert address.startswith("127.0.0.1:")
            yield int(address.rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=SECONDS) == 0


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("issuer") / "made" / "by it"


@pytest.fixture(scope="module")
def port(state: Path) -> Iterator[int]:
    with issuing(state) as port:
        yield port


def run(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **environment},
        check=False,
    )


async def ask(port: int, arguments: tuple[str, ...], state: Path, needs: Permission) -> Caller:
    """Print a token by the command and let the service's own check judge it."""
    config = AuthSettings.read(auth_settings(port))
    authority = ("--authority", config.authority)
    done = run("local.access_token", "--state", str(state), *authority, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    checking = Authorizer(config, SigningKeys(config.authority))
    return await checking.authorize(f"Bearer {done.stdout.strip()}", needs)


NEEDS = [value for value in vars(permissions).values() if isinstance(value, Permission)]


async def test_the_usual_token_opens_every_operation(port: int, state: Path) -> None:
    config = AuthSettings.read(auth_settings(port))
    done = run("local.access_token", "--state", str(state), AUTH_AUTHORITY=config.authority)
    checking = Authorizer(config, SigningKeys(config.authority))

    for needs in NEEDS:
        caller = await checking.authorize(f"Bearer {done.stdout.strip()}", needs)
        assert caller.kind == "application"


def test_every_permission_is_known_to_the_command() -> None:
    for needs in NEEDS:
        assert set(needs.application) <= set(all_roles())


def test_a_reading_token_holds_nothing_that_writes_or_shows_passwords() -> None:
    writing = (permissions.OUTBOUND_FLOW_WRITE, permissions.REFERENCE_WRITE)

    for needs in (*writing, permissions.ROLE_GROUP_WRITE, permissions.PASSWORD_READ):
        assert not set(READ) & set(needs.application)


async def test_a_reading_token_reads(port: int, state: Path) -> None:
    assert await ask(port, ("--read",), state, permissions.OUTBOUND_FLOW_READ)


async def test_a_reading_token_does_not_write(port: int, state: Path) -> None:
    with pytest.raises(Forbidden):
        await ask(port, ("--read",), state, permissions.OUTBOUND_FLOW_WRITE)


async def test_a_token_can_be_a_users(port: int, state: Path) -> None:
    scopes = ("--scopes", "openid", permissions.FLOW_READ)

    assert (await ask(port, scopes, state, permissions.OUTBOUND_FLOW_READ)).kind == "delegated"


async def test_a_users_token_writes_only_with_a_role(port: int, state: Path) -> None:
    scopes = ("--scopes", permissions.FLOW_WRITE)
    with pytest.raises(Forbidden) as refused:
        await ask(port, scopes, state, permissions.OUTBOUND_FLOW_WRITE)
    assert refused.value.caller.kind == "delegated"

    assigned = (*scopes, "--roles", permissions.FLOW_WRITE)
    assert (await ask(port, assigned, state, permissions.OUTBOUND_FLOW_WRITE)).kind == "delegated"


async def test_a_token_can_have_chosen_roles(port: int, state: Path) -> None:
    roles = ("--roles", permissions.READ_BASIC)

    with pytest.raises(Forbidden):
        await ask(port, roles, state, permissions.OUTBOUND_FLOW_READ)


async def test_a_token_of_another_authority_is_refused(port: int, state: Path) -> None:
    with pytest.raises(Unauthenticated):
        await ask(
            port, ("--authority", "http://127.0.0.1:1"), state, permissions.OUTBOUND_FLOW_READ
        )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--expires", "0"),
        ("--expires", "86401"),
        ("--read", "--roles", "a"),
        ("--read", "--scopes", "a"),
        ("--roles",),
        ("--scopes",),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(state: Path, arguments: tuple[str, ...]) -> None:
    done = run("local.access_token", "--state", str(state), *arguments)

    assert (done.returncode, done.stdout) == (2, "")


async def test_the_metadata_leads_to_the_key(
    http: aiohttp.ClientSession, port: int, state: Path
) -> None:
    base = f"http://127.0.0.1:{port}/{LOCAL_TENANT}"
    async with http.get(f"{base}/v2.0/.well-known/openid-configuration") as response:
        metadata = await response.json()
    async with http.get(metadata["jwks_uri"]) as response:
        keys = (await response.json())["keys"]

    assert metadata["issuer"] == f"{base}/v2.0"
    assert keys == [public_jwk(signing_key(state).public_key())]


@pytest.mark.parametrize("path", ["discovery/v2.0/keys", "v2.0/.well-known/openid-configuration"])
async def test_a_tenant_is_named_by_its_id(
    http: aiohttp.ClientSession, port: int, path: str
) -> None:
    async with http.get(f"http://127.0.0.1:{port}/common/{path}") as response:
        assert response.status == 404


async def test_no_token_is_issued_over_the_network(http: aiohttp.ClientSession, port: int) -> None:
    url = f"http://127.0.0.1:{port}/{LOCAL_TENANT}/oauth2/v2.0/token"

    async with http.post(url, data={"grant_type": "client_credentials"}) as response:
        assert response.status == 404


def test_the_key_is_for_its_owner_only(port: int, state: Path) -> None:
    assert port
    assert stat.S_IMODE((state / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [file.name for file in state.iterdir()] == [KEY_FILE]


def test_the_key_outlives_the_issuer(tmp_path: Path) -> None:
    with issuing(tmp_path):
        first = signing_key(tmp_path).public_key().public_numbers()
    with issuing(tmp_path):
        assert signing_key(tmp_path).public_key().public_numbers() == first


def test_a_taken_port_ends_the_issuer_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        done = run("local.issuer", "--port", str(port), "--state", str(tmp_path))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Port {port} cannot be used on 127.0.0.1")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["local.issuer", "local.access_token"])
def test_a_broken_key_ends_the_command_with_a_sentence(tmp_path: Path, module: str) -> None:
    (tmp_path / KEY_FILE).write_text("no key")

    done = run(module, "--state", str(tmp_path))

    assert done.returncode == 2
    assert done.stderr == (
        f"{tmp_path / KEY_FILE} is not an RSA key: delete it, and a new one is made.\n"
    )


@pytest.mark.parametrize("module", ["local.issuer", "local.access_token"])
def test_a_folder_that_is_none_ends_the_command_with_a_sentence(
    tmp_path: Path, module: str
) -> None:
    (tmp_path / "file").write_text("")

    done = run(module, "--state", str(tmp_path / "file"))

    assert done.returncode == 2
    assert "name another by --state" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    done = run("local.issuer", f"--port={port}", "--state", str(tmp_path))

    assert done.returncode == 2
    assert not list(tmp_path.iterdir())
