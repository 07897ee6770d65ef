"""The local stack's own token issuer: `python -m local.issuer --port PORT --state FOLDER`.

It takes the place of Entra ID on this machine: it publishes the public half of a key that is made
on the first start and stays in the state folder. Everyone who can read that folder can make tokens
(local/access_token.py); none are issued over the network.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.config import HOST, LocalConfig
from shared.domain.context import LOCAL_TENANT
from shared.domain.ids import as_guid

# Made up for this stack; no such tenant, API or client exists in Entra ID.
LOCAL_AUDIENCE: Final = "api://industry-data-local"
LOCAL_CLIENT: Final = "10ca1000-0000-4000-8000-000000000002"
LOCAL_SERVICE_PRINCIPAL: Final = "10ca1000-0000-4000-8000-000000000003"
LOCAL_USER: Final = "10ca1000-0000-4000-8000-000000000004"

KEY_FILE: Final = "signing_key.pem"
KEY_BITS = 2048


class IssuerError(Exception):
    """The issuer or its key cannot be used; the text says what to do next."""


def auth_settings(port: int) -> dict[str, str]:
    """The app settings with which the service accepts this issuer's tokens."""
    return {
        "AUTH_AUTHORITY": LocalConfig(issuer_port=port).issuer,
        "AUTH_TENANTS": LOCAL_TENANT,
        "AUTH_AUDIENCES": LOCAL_AUDIENCE,
    }


def signing_key(state: Path) -> rsa.RSAPrivateKey:
    """Return the key in the state folder; it is made if there is none.

    To change the key, delete its file: the running issuer publishes whichever is there. Raises
    IssuerError.
    """
    path = state / KEY_FILE
    try:
        if not path.exists():
            _make_key(path)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as exc:
        raise IssuerError(
            f"The folder {state} cannot be used ({exc.strerror}): name another by --state."
        ) from exc
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise IssuerError(f"{path} is not an RSA key: delete it, and a new one is made.")
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    # Written aside (mode 0600) and linked: the issuer and a token made at once agree on one key.
    with tempfile.NamedTemporaryFile(dir=path.parent) as file:
        file.write(text)
        file.flush()
        try:
            os.link(file.name, path)
        except FileExistsError:
            return


def public_jwk(key: rsa.RSAPublicKey) -> dict[str, str]:
    """The key as a member of a key set, under its RFC 7638 thumbprint."""
    numbers = key.public_numbers()
    n, e = (_base64url(value) for value in (numbers.n, numbers.e))
    thumbprint = hashlib.sha256(f'{{"e":"{e}","kty":"RSA","n":"{n}"}}'.encode()).digest()
    key_id = base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id, "n": n, "e": e}


def _base64url(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(
    issued_by: str,
    *,
    roles: Sequence[str] = (),
    scopes: Sequence[str] = (),
    lifetime: int = 3600,
    tenant: str = LOCAL_TENANT,
    ahead: int = 0,
) -> dict[str, Any]:
    """The claims of a version 2 access token that is valid from now, for `lifetime` seconds.

    `issued_by` is the issuer's base URL. With `scopes` it is a user's token, and `roles` are those
    that the user was assigned; without, it is an application's, and the roles are its own. `ahead`
    is how far the stack's clock is (local/clock.py).
    """
    now = int(time.time()) + ahead
    whose: dict[str, Any] = (
        {"scp": " ".join(scopes), "oid": LOCAL_USER, "sub": f"{LOCAL_USER}-{LOCAL_CLIENT}"}
        if scopes
        else {"oid": LOCAL_SERVICE_PRINCIPAL, "sub": LOCAL_SERVICE_PRINCIPAL, "idtyp": "app"}
    )
    # As from Entra ID: who has no role has no such claim.
    held = {"roles": list(roles)} if roles else {}
    return {
        "aud": LOCAL_AUDIENCE,
        "iss": f"{issued_by}/{tenant}/v2.0",
        "tid": tenant,
        "ver": "2.0",
        "azp": LOCAL_CLIENT,
        "iat": now,
        "nbf": now,
        "exp": now + lifetime,
        **whose,
        **held,
    }


def sign(payload: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
    """Return a token with these claims, signed by the key under its key id."""
    headers = {"kid": public_jwk(key.public_key())["kid"]}
    return jwt.encode(payload, key, algorithm="RS256", headers=headers)


def _application(state: Path) -> web.Application:
    async def key_set(request: web.Request) -> web.Response:
        _known_tenant(request)
        return web.json_response({"keys": [public_jwk(signing_key(state).public_key())]})

    async def metadata(request: web.Request) -> web.Response:
        tenant = _known_tenant(request)
        base = f"{request.url.origin()}/{tenant}"
        return web.json_response(
            {
                "issuer": f"{base}/v2.0",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    app = web.Application()
    app.router.add_get("/{tenant}/discovery/v2.0/keys", key_set)
    app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", metadata)
    return app


def _known_tenant(request: web.Request) -> str:
    tenant = as_guid(request.match_info["tenant"])
    if tenant is None:
        raise web.HTTPNotFound(text="A tenant is named by its id, a GUID.\n")
    return tenant


async def serve(port: int, state: Path) -> None:
    """Publish the key until SIGINT or SIGTERM; raises IssuerError when it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    signing_key(state)
    runner = web.AppRunner(_application(state), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError as exc:
            raise IssuerError(
                f"Port {port} cannot be used on {HOST} ({exc.strerror}): stop the process that has "
                "it, or choose another by --port."
            ) from exc
        print(f"Issuer listening on {HOST}:{runner.addresses[0][1]}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns 0 after a stop by signal, 2 when the issuer cannot start."""
    parser = argparse.ArgumentParser(prog="python -m local.issuer", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=LocalConfig().issuer_port, help="0 for any free one"
    )
    parser.add_argument("--state", type=Path, required=True, help="the folder that holds the key")
    given = parser.parse_args(arguments)
    if not 0 <= given.port < 65536:
        parser.error(f"--port {given.port} is not a port: give a number from 0 to 65535")
    try:
        asyncio.run(serve(given.port, given.state))
    except IssuerError as exc:
        print(exc, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
