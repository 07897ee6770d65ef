"""App settings: what is needed, what is refused, and that the example file agrees."""

from __future__ import annotations

import ast
import base64
import dataclasses
import json
import re
from collections.abc import Mapping

import pytest

from local.config import ROOT, LocalConfig
from local.settings import example_values
from shared.adapters.entra import IN_AZURE
from shared.adapters.keyring import Keyring
from shared.domain.context import LOCAL_TENANT
from shared.domain.errors import SettingsError
from shared.settings import Settings
from tests.support.sources import parsed

KEYS = f"k1:{base64.b64encode(b'k' * 32).decode()}"
LOCAL = {
    "COSMOS_ENDPOINT": "http://127.0.0.1:8081",
    "COSMOS_KEY": "a2V5",
    "COSMOS_DATABASE": "industryData",
    "ServiceBus": "Endpoint=sb://127.0.0.1:5672;UseDevelopmentEmulator=true",
    "READINESS_QUEUE": "readiness",
    "NOTIFICATIONS_QUEUE": "notifications",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "PASSWORD_KEYS": KEYS,
    "AUTH_AUTHORITY": "http://127.0.0.1:7072",
    "AUTH_TENANTS": "10ca1000-0000-4000-8000-000000000001",
    "AUTH_AUDIENCES": "api://industry-data-local",
}
AZURE = {
    "COSMOS_ENDPOINT": "https://contoso.documents.azure.com",
    "COSMOS_DATABASE": "industryData",
    "ServiceBus__fullyQualifiedNamespace": "contoso.servicebus.windows.net",
    "READINESS_QUEUE": "readiness",
    "NOTIFICATIONS_QUEUE": "notifications",
    "AzureWebJobsStorage__blobServiceUri": "https://contoso.blob.core.windows.net/",
    "PASSWORD_KEYS": KEYS,
    "AZURE_CLIENT_ID": "8f7f3f5c-0000-4000-8000-000000000000",
    "AUTH_TENANTS": "8f7f3f5c-0000-4000-8000-000000000001",
    "AUTH_AUDIENCES": "api://8f7f3f5c-0000-4000-8000-000000000002",
}
# What the Functions host reads by itself; the app never reads them.
OF_THE_HOST = {"FUNCTIONS_WORKER_RUNTIME"}
# Read where they are set; README explains each.
NOT_NEEDED_LOCALLY = {
    "ServiceBus__fullyQualifiedNamespace",
    "AzureWebJobsStorage__blobServiceUri",
    "AZURE_CLIENT_ID",
    "CORS_ORIGINS",
    "GRAPH_ROOT",
    "AUTH_MODE",
}
EXAMPLE: dict[str, str] = json.loads((ROOT / "local.settings.example.json").read_text("utf-8"))[
    "Values"
]


def faults(environ: Mapping[str, str]) -> str:
    """The text with which settings are refused."""
    with pytest.raises(SettingsError) as refused:
        Settings.read(environ)
    return str(refused.value)


def test_storage_is_named_by_its_address_whose_suffix_differs_between_clouds() -> None:
    uri = "https://contoso.blob.core.usgovcloudapi.net/"
    settings = Settings.read(AZURE | {"AzureWebJobsStorage__blobServiceUri": uri})
    assert (settings.storage_connection, settings.storage_blob_uri) == (None, uri)


@pytest.mark.parametrize("storage", [{}, {"AzureWebJobsStorage__blobServiceUri": "https://x"}])
def test_storage_is_set_in_one_way(storage: dict[str, str]) -> None:
    rest = {k: v for k, v in LOCAL.items() if storage or k != "AzureWebJobsStorage"}
    assert "Set AzureWebJobsStorage" in faults(rest | storage)


def test_the_emulators_are_reached_with_keys() -> None:
    settings = Settings.read(LOCAL)
    assert settings.storage_connection == LOCAL["AzureWebJobsStorage"]
    assert settings.storage_blob_uri is None
    assert settings.cosmos_endpoint == LOCAL["COSMOS_ENDPOINT"]
    assert settings.cosmos_key == "a2V5"
    assert settings.cosmos_database == "industryData"
    assert settings.service_bus_connection == LOCAL["ServiceBus"]
    assert settings.service_bus_namespace is None
    assert settings.readiness_queue == "readiness"


def test_azure_is_reached_with_an_identity_and_no_key() -> None:
    settings = Settings.read(AZURE)
    assert settings.cosmos_key is None
    assert settings.service_bus_connection is None
    assert settings.service_bus_namespace == "contoso.servicebus.windows.net"
    assert settings.identity_client_id == AZURE["AZURE_CLIENT_ID"]


def test_without_a_client_id_the_identity_is_the_system_assigned_one() -> None:
    environ = {name: value for name, value in AZURE.items() if name != "AZURE_CLIENT_ID"}
    assert Settings.read(environ).identity_client_id is None


def test_the_password_keys_are_read() -> None:
    keys = Settings.read(LOCAL).password_keys
    assert Keyring.read(keys, LOCAL_TENANT).current == "k1"


def test_contexts_name_graph_unless_a_setting_names_another_root() -> None:
    assert Settings.read(LOCAL).graph_root == "https://graph.microsoft.com/beta"


def test_another_root_is_kept_without_its_last_slash() -> None:
    environ = {**LOCAL, "GRAPH_ROOT": "https://flows.contoso.com/beta/"}
    assert Settings.read(environ).graph_root == "https://flows.contoso.com/beta"


def test_no_page_of_another_origin_calls_the_service_unless_a_setting_names_it() -> None:
    assert Settings.read(LOCAL).cors_origins == frozenset()


def test_origins_of_pages_are_joined_by_commas() -> None:
    text = "https://portal.contoso.com, https://xn--bcher-kva.example:8443,http://[::1]:3000,"
    assert Settings.read({**LOCAL, "CORS_ORIGINS": text}).cors_origins == {
        "https://portal.contoso.com",
        "https://xn--bcher-kva.example:8443",
        "http://[::1]:3000",
    }


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]"])
def test_http_is_taken_for_pages_on_this_machine(origin: str) -> None:
    assert Settings.read({**LOCAL, "CORS_ORIGINS": origin}).cors_origins == {origin}


@pytest.mark.parametrize(
    ("origin", "fault"),
    [
        ("*", "'*' is not an origin"),
        ("https://*", "is not an origin"),
        ("https://*.contoso.com", "is not an origin"),
        ("null", "is not an origin"),
        ("portal.contoso.com", "is not an origin"),
        ("ftp://portal.contoso.com", "is not an origin"),
        ("https://portal.contoso.com/", "is not an origin"),
        ("https://portal.contoso.com?x", "is not an origin"),
        ("https://user@portal.contoso.com", "is not an origin"),
        ("https://Portal.contoso.com", "is not an origin"),
        ("https://bücher.example", "is not an origin"),
        ("https://", "is not an origin"),
        ("https://portal.contoso.com https://b", "is not an origin"),
        ("https://portal.contoso.com\r\nX: y", "is not an origin"),
        ("https://portal.contoso.com:443", "omit :443"),
        ("http://localhost:80", "omit :80"),
        ("http://portal.contoso.com", "must use https"),
        ("http://localhost.contoso.com", "must use https"),
        ("http://127.0.0.1.contoso.com", "must use https"),
    ],
)
def test_what_no_browser_sends_as_an_origin_or_none_should_is_refused(
    origin: str, fault: str
) -> None:
    text = faults({**LOCAL, "CORS_ORIGINS": f"https://a.example,{origin}", "COSMOS_DATABASE": ""})
    assert fault in text
    assert "a.example'" not in text
    assert "Set COSMOS_DATABASE." in text


def test_no_host_gets_notifications_unless_a_setting_names_it() -> None:
    assert Settings.read(LOCAL).notification_hosts == frozenset()
    hosts = "hooks.contoso.com, Other.example:8443,third.example:443, [::1], [2606:4700::1111]:8443"
    assert Settings.read({**LOCAL, "NOTIFICATION_HOSTS": hosts}).notification_hosts == {
        "hooks.contoso.com",
        "other.example:8443",
        "third.example",
        "[::1]",
        "[2606:4700::1111]:8443",
    }


@pytest.mark.parametrize(
    "host", ["https://hooks.contoso.com", "*.contoso.com", "a.example/x", "a.example:x", "a b", "@"]
)
def test_hosts_that_get_notifications_are_names(host: str) -> None:
    text = faults({**LOCAL, "NOTIFICATION_HOSTS": f"fine.example,{host}"})
    assert f"NOTIFICATION_HOSTS: '{host}' is not a host" in text
    assert "fine.example" not in text


def test_spaces_around_values_do_not_count() -> None:
    settings = Settings.read({name: f" {value}\n" for name, value in LOCAL.items()})
    assert settings.cosmos_endpoint == LOCAL["COSMOS_ENDPOINT"]
    assert settings.service_bus_connection == LOCAL["ServiceBus"]


def test_settings_of_others_are_ignored() -> None:
    assert Settings.read({**LOCAL, "PATH": "/bin", "HOSTNAME": "x"}).cosmos_key == "a2V5"


def test_the_faults_of_authentication_are_reported_with_the_others() -> None:
    text = faults({"COSMOS_DATABASE": "industryData"})
    assert "Set COSMOS_ENDPOINT." in text
    assert "Set AUTH_TENANTS" in text


@pytest.mark.parametrize(
    "name",
    [
        *("COSMOS_ENDPOINT", "COSMOS_DATABASE", "PASSWORD_KEYS"),
        *("READINESS_QUEUE", "NOTIFICATIONS_QUEUE"),
    ],
)
@pytest.mark.parametrize("value", [None, "", "   "])
def test_a_missing_or_blank_setting_is_named(name: str, value: str | None) -> None:
    environ = {key: text for key, text in LOCAL.items() if key != name}
    if value is not None:
        environ[name] = value
    assert f"Set {name}." in faults(environ)


def test_everything_missing_is_named_at_once_with_where_to_look() -> None:
    text = faults({})
    for name in (
        "COSMOS_ENDPOINT",
        "COSMOS_DATABASE",
        "READINESS_QUEUE",
        "NOTIFICATIONS_QUEUE",
        "PASSWORD_KEYS",
        "ServiceBus",
    ):
        assert re.search(rf"Set {name}\b", text)
    assert "local.settings.example.json" in text


def test_wrong_values_are_named_beside_what_is_missing() -> None:
    text = faults(
        {
            "COSMOS_ENDPOINT": "ftp://127.0.0.1",
            "GRAPH_ROOT": "graph.microsoft.com",
            "PASSWORD_KEYS": "short",
        }
    )
    for fault in (
        "COSMOS_ENDPOINT must be an absolute URL",
        "GRAPH_ROOT must be",
        "PASSWORD_KEYS must be",
        "Set COSMOS_DATABASE.",
        "Set READINESS_QUEUE.",
        "Set ServiceBus ",
    ):
        assert fault in text


@pytest.mark.parametrize("both", [True, False])
def test_service_bus_is_named_in_exactly_one_way(both: bool) -> None:
    environ = {name: value for name, value in LOCAL.items() if name != "ServiceBus"}
    if both:
        environ["ServiceBus"] = LOCAL["ServiceBus"]
        environ["ServiceBus__fullyQualifiedNamespace"] = "contoso.servicebus.windows.net"
    assert "ServiceBus__fullyQualifiedNamespace (for Azure), one of the two" in faults(environ)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:8081", "http://", "localhost", "amqp://127.0.0.1", "https://["]
)
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    assert "COSMOS_ENDPOINT must be an absolute URL" in faults(
        {**LOCAL, "COSMOS_ENDPOINT": endpoint}
    )


@pytest.mark.parametrize("root", ["graph.microsoft.com", "/beta", "http:", "https://["])
def test_a_graph_root_that_is_no_url_is_refused(root: str) -> None:
    assert "GRAPH_ROOT must be an absolute" in faults({**LOCAL, "GRAPH_ROOT": root})


def test_clear_text_http_is_for_this_machine_only() -> None:
    environ = {**AZURE, "COSMOS_ENDPOINT": "http://contoso.documents.azure.com"}
    assert "COSMOS_ENDPOINT must use https" in faults(environ)


def test_a_key_for_azure_is_refused() -> None:
    assert "Remove COSMOS_KEY" in faults({**AZURE, "COSMOS_KEY": "a2V5"})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_an_emulator_needs_a_key(host: str) -> None:
    environ = {**LOCAL, "COSMOS_ENDPOINT": f"http://{host}:8081", "COSMOS_KEY": ""}
    assert "Set COSMOS_KEY" in faults(environ)


def test_a_refusal_shows_no_secret() -> None:
    text = faults({**AZURE, "COSMOS_KEY": "c2VjcmV0", "PASSWORD_KEYS": "k1:c2VjcmV0"})
    assert "c2VjcmV0" not in text


# --- written twice, compared here --------------------------------------------------------------


def test_the_example_is_enough_to_run_the_app() -> None:
    settings = Settings.read(example_values())
    config = LocalConfig()
    assert settings.cosmos_endpoint == config.cosmos_endpoint
    assert settings.service_bus_connection == config.service_bus_connection


@pytest.mark.parametrize("name", sorted(set(EXAMPLE) - OF_THE_HOST))
def test_every_setting_of_the_example_is_read(name: str) -> None:
    values = example_values()
    full = Settings.read(values)
    del values[name]
    try:
        assert dataclasses.replace(Settings.read(values), password_keys=full.password_keys) != full
    except SettingsError as refused:
        assert name in str(refused)  # noqa: PT017 - either it is missed, or it changed something


def test_every_setting_that_the_code_names_is_in_the_example_or_known_to_be_optional() -> None:
    modules = [ROOT / "shared" / name for name in ("settings.py", "adapters/entra.py")]
    named = {
        node.value
        for module in modules
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(
            r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|(ServiceBus|AzureWebJobsStorage)(__\w+)?", node.value
        )
    }
    assert named - set(IN_AZURE) == (set(EXAMPLE) - OF_THE_HOST) | NOT_NEEDED_LOCALLY
