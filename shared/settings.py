"""The app settings, read once from any mapping; every fault is reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from shared.adapters.entra import AuthSettings
from shared.adapters.keyring import Keyring
from shared.domain.context import LOCAL_TENANT
from shared.domain.errors import SettingsError

_SEE = "See local.settings.example.json and the settings table in README.md."
_HOST: Final = re.compile(r"([a-z0-9.\-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")
_ORIGIN: Final = re.compile(r"(https?)://(\[::1\]|[a-z0-9.\-]{1,253})(:[0-9]{1,5})?")
_OWN_PORTS: Final = (("http", ":80"), ("https", ":443"))
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Settings:
    """What the app needs to know about where it runs.

    Keys are for the emulators only: with `cosmos_key` None and `service_bus_connection` None, the
    managed identity `identity_client_id` (None: the system-assigned one) is used.
    """

    cosmos_endpoint: str
    cosmos_key: str | None
    cosmos_database: str
    service_bus_connection: str | None
    service_bus_namespace: str | None
    readiness_queue: str
    notifications_queue: str
    storage_connection: str | None
    storage_blob_uri: str | None
    identity_client_id: str | None
    password_keys: str = field(repr=False)
    graph_root: str
    auth: AuthSettings
    cors_origins: frozenset[str]
    """Origins of the pages that may call the service from a browser, as browsers write them."""
    notification_hosts: frozenset[str]
    """Hosts that change notifications may be sent to, with a port unless it is 443; none: off."""

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Settings:
        """Build from app settings; raises SettingsError that names every fault."""
        values = {name: value.strip() for name, value in environ.items()}
        faults: list[str] = []

        def required(name: str) -> str:
            if not values.get(name):
                faults.append(f"Set {name}.")
            return values.get(name, "")

        endpoint = required("COSMOS_ENDPOINT")
        key = values.get("COSMOS_KEY") or None
        faults.extend(_endpoint_faults(endpoint, key))
        connection = values.get("ServiceBus") or None
        namespace = values.get("ServiceBus__fullyQualifiedNamespace") or None
        if (connection is None) == (namespace is None):
            faults.append(
                "Set ServiceBus (a connection string, for the emulator) or "
                "ServiceBus__fullyQualifiedNamespace (for Azure), one of the two."
            )
        storage = values.get("AzureWebJobsStorage") or None
        blobs = values.get("AzureWebJobsStorage__blobServiceUri") or None
        if (storage is None) == (blobs is None):
            faults.append(
                "Set AzureWebJobsStorage (a connection string, for Azurite) or "
                "AzureWebJobsStorage__blobServiceUri (for Azure), one of the two."
            )
        graph_root = values.get("GRAPH_ROOT") or "https://graph.microsoft.com/beta"
        if _host(graph_root) is None:
            faults.append("GRAPH_ROOT must be an absolute http(s) URL.")
        origins = [each.strip() for each in values.get("CORS_ORIGINS", "").split(",")]
        faults.extend(
            f"CORS_ORIGINS: {fault}" for each in origins for fault in _origin_faults(each)
        )
        hosts = [each.strip().lower() for each in values.get("NOTIFICATION_HOSTS", "").split(",")]
        faults.extend(
            f"NOTIFICATION_HOSTS: '{each}' is not a host, such as hooks.contoso.com or "
            "hooks.contoso.com:8443; no scheme, no path and no *."
            for each in hosts
            if each and _HOST.fullmatch(each) is None
        )
        passwords = required("PASSWORD_KEYS")
        database = required("COSMOS_DATABASE")
        queue = required("READINESS_QUEUE")
        notifications_queue = required("NOTIFICATIONS_QUEUE")
        auth = None
        try:
            auth = AuthSettings.read(environ)
        except SettingsError as exc:
            faults.append(str(exc))
        if passwords:
            tenants = (LOCAL_TENANT,) if auth is None else auth.tenants
            faults.extend(_ring_faults(passwords, tenants))
        if faults or auth is None:
            raise SettingsError(" ".join([*faults, _SEE]))
        return cls(
            cosmos_endpoint=endpoint,
            cosmos_key=key,
            cosmos_database=database,
            service_bus_connection=connection,
            service_bus_namespace=namespace,
            readiness_queue=queue,
            notifications_queue=notifications_queue,
            storage_connection=storage,
            storage_blob_uri=blobs,
            identity_client_id=values.get("AZURE_CLIENT_ID") or None,
            password_keys=passwords,
            graph_root=graph_root.rstrip("/"),
            auth=auth,
            cors_origins=frozenset(filter(None, origins)),
            notification_hosts=frozenset(each.removesuffix(":443") for each in hosts if each),
        )


def _ring_faults(password_keys: str, tenants: Sequence[str]) -> list[str]:
    faults = []
    for tenant in tenants:
        try:
            Keyring.read(password_keys, tenant)
        except SettingsError as exc:
            faults.append(str(exc))
    return list(dict.fromkeys(faults))


def _endpoint_faults(endpoint: str, key: str | None) -> list[str]:
    if not endpoint:
        return []
    host = _host(endpoint)
    if host is None:
        return ["COSMOS_ENDPOINT must be an absolute URL, such as http://127.0.0.1:8081."]
    local = host in _LOOPBACK
    faults = []
    if urlsplit(endpoint).scheme == "http" and not local:
        faults.append("COSMOS_ENDPOINT must use https, except for an emulator on this machine.")
    if key is not None and not local:
        faults.append("Remove COSMOS_KEY: keys are for emulators, Azure uses a managed identity.")
    if key is None and local:
        faults.append("Set COSMOS_KEY: the Cosmos DB emulator takes no identity.")
    return faults


def _origin_faults(origin: str) -> list[str]:
    """Return why this is no exact origin, or none that is safe; an empty one is ignored."""
    if not origin:
        return []
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return [
            f"'{origin}' is not an origin, such as https://portal.contoso.com: scheme, host in "
            "lower case and maybe a port, no path and no *."
        ]
    scheme, host, port = match.groups()
    if (scheme, port) in _OWN_PORTS:
        return [f"omit {port} of '{origin}': browsers omit the port that the scheme has."]
    if scheme == "http" and host.strip("[]") not in _LOOPBACK:
        return [f"'{origin}' must use https; http is for pages on this machine."]
    return []


def _host(url: str) -> str | None:
    """Return the host that an absolute http(s) URL names, None for all other text."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None
