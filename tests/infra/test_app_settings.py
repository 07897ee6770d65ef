"""The function app in the plan: its settings are what code, host and libraries read, no more."""

from __future__ import annotations

import ast
import re

import pytest
import yaml

from tests.infra.plan import ENVIRONMENTS, ROOT, read
from tests.support.sources import parsed

API = "33333333-3333-3333-3333-333333333333"
CLIENT_ID = "[id-*.clientId]"

# Every setting with its value: `*` is what the names have in common, NAME.member what Azure fills
# in.
SETTINGS = {
    # What the code reads.
    "AUTH_AUDIENCES": f"{API},api://{API}",
    "AUTH_AUTHORITY": "[environment().authentication.loginEndpoint]",
    "AUTH_TENANTS": "22222222-2222-2222-2222-222222222222",
    "AZURE_CLIENT_ID": CLIENT_ID,
    "CORS_ORIGINS": "",
    "AzureWebJobsStorage__blobServiceUri": "[*.primaryEndpoints.blob]",
    "COSMOS_DATABASE": "industryData",
    "COSMOS_ENDPOINT": "[cosmos-*.documentEndpoint]",
    "NOTIFICATION_HOSTS": "",
    "NOTIFICATIONS_QUEUE": "notifications",
    "READINESS_QUEUE": "readiness",
    "ServiceBus__fullyQualifiedNamespace": (
        "[replace(replace(sb-*.serviceBusEndpoint, 'https://', ''), ':443/', '')]"
    ),
    # What the Functions host, its extensions and its SDKs read.
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": (
        "[format('Authorization=AAD;ClientId={0}', id-*.clientId)]"
    ),
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "[appi-*.ConnectionString]",
    "AzureWebJobsStorage__clientId": CLIENT_ID,
    "AzureWebJobsStorage__credential": "managedidentity",
    "ServiceBus__clientId": CLIENT_ID,
    "ServiceBus__credential": "managedidentity",
}
# Computed from what differs between clouds; tests/infra/compiled has their values.
COMPUTED = {"GRAPH_ROOT", "PASSWORD_KEYS"}
RUNTIME = {name for name in SETTINGS if name.startswith(("APPLICATIONINSIGHTS_", "AzureWebJobs"))}
RUNTIME |= {"ServiceBus__clientId", "ServiceBus__credential"}
# Connection strings and keys of the emulators, and the switch that lets everyone in.
LOCAL_SETTINGS = {"AUTH_MODE", "AzureWebJobsStorage", "COSMOS_KEY", "ServiceBus"}


def settings_read_by_code() -> set[str]:
    """The names that the readers of settings in shared/ look up in their mapping."""
    found: set[str] = set()
    for path in sorted((ROOT / "shared").rglob("*.py")):
        for function in ast.walk(parsed(path)):
            if isinstance(function, ast.FunctionDef) and any(
                argument.arg in ("environ", "values") for argument in function.args.args
            ):
                found |= _names_looked_up(function)
    return found


def _names_looked_up(function: ast.FunctionDef) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.args:
            called = node.func
            own = isinstance(called, ast.Name) and called.id == "required"
            get = (
                isinstance(called, ast.Attribute)
                and called.attr == "get"
                and isinstance(called.value, ast.Name)
                and called.value.id in ("environ", "values")
            )
            first = node.args[0]
            if (own or get) and isinstance(first, ast.Constant):
                names.add(str(first.value))
        elif (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("environ", "values")
            and isinstance(node.slice, ast.Constant)
        ):
            names.add(str(node.slice.value))
    return names


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_setting_has_its_value(environment: str) -> None:
    made = read(environment).app_settings()
    assert {name: value for name, value in made.items() if name not in COMPUTED} == SETTINGS
    assert set(made) >= COMPUTED


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_password_keys_come_from_the_vault(environment: str) -> None:
    made = read(environment)
    vault = made.one("Microsoft.KeyVault/vaults")["name"]
    value = made.app_settings()["PASSWORD_KEYS"]
    assert value.startswith("[format('@Microsoft.KeyVault(SecretUri={0})', format('{0}secrets/{1}'")
    assert re.search(r", \S+\.vaultUri, 'password-keys'\)\)\]$", value)
    assert f"/vaults/{vault}'" in str(made.one("Microsoft.Web/sites/config")["properties"])
    assert made.outputs["KEY_RING_NAME"] == "password-keys"
    assert made.outputs["AZURE_KEY_VAULT_NAME"] == vault


def test_every_setting_that_the_code_reads_is_set() -> None:
    read_by_code = settings_read_by_code()
    assert {"COSMOS_ENDPOINT", "COSMOS_KEY", "AUTH_TENANTS"} <= read_by_code
    assert read_by_code - LOCAL_SETTINGS <= set(SETTINGS) | COMPUTED, "add a line to app.bicep"


def test_nothing_is_set_that_is_not_read() -> None:
    assert (set(SETTINGS) | COMPUTED) - settings_read_by_code() <= RUNTIME


def test_nothing_is_set_that_is_for_local_use() -> None:
    assert not LOCAL_SETTINGS & (set(SETTINGS) | COMPUTED)
    assert settings_read_by_code() >= LOCAL_SETTINGS, "no longer read: take it off the list"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_apps_identity_opens_the_vault(environment: str) -> None:
    made = read(environment)
    site = made.one("Microsoft.Web/sites")
    named = [
        made.plain(each.rpartition("/")[2]) for each in site["identity"]["userAssignedIdentities"]
    ]
    assert (site["identity"]["type"], named) == ("UserAssigned", ["id-*", "id-*-deploy"])
    assert made.plain(site["properties"]["keyVaultReferenceIdentity"]).endswith("/id-*")


def test_bindings_name_connections_and_settings_that_are_set() -> None:
    source = "\n".join(p.read_text("utf-8") for p in sorted((ROOT / "functions").rglob("*.py")))
    named = re.findall(r"\"%(\w+)%", source)
    connections = re.findall(r"connection=\"(\w+)\"", source)
    assert named
    assert connections
    assert set(named) <= set(SETTINGS)
    for connection in connections:
        assert any(name.startswith(f"{connection}__") for name in SETTINGS)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_operators_command_gets_the_settings_that_it_reads(environment: str) -> None:
    """`azd env get-values` prints the outputs, and among them the app's settings of those names."""
    made = read(environment)
    outputs = {name: made.plain(value) for name, value in made.outputs.items()}
    for name in (
        "AzureWebJobsStorage__blobServiceUri",
        "COSMOS_DATABASE",
        "COSMOS_ENDPOINT",
        "READINESS_QUEUE",
        "ServiceBus__fullyQualifiedNamespace",
    ):
        assert outputs[name] == SETTINGS[name]
    assert outputs["DEAD_LETTERS_CONTAINER"] == "dead-letters"
    assert outputs["FUNCTION_APP_NAME"] == "func-*"
    assert outputs["AZURE_RESOURCE_GROUP"] == "rg-*"
    assert outputs["SERVICE_ROOT"] == "[format('https://{0}/beta', func-*.defaultHostName)]"


# --- how it runs ----------------------------------------------------------------------------------


def test_scale_is_as_the_parameter_files_say() -> None:
    scale = {
        environment: read(environment).one("Microsoft.Web/sites")["properties"][
            "functionAppConfig"
        ]["scaleAndConcurrency"]
        for environment in ENVIRONMENTS
    }
    http = {"http": {"perInstanceConcurrency": 16}}
    for environment, most in {"dev": 5, "prod": 100}.items():
        assert scale[environment] == {
            "instanceMemoryMB": 2048,
            "maximumInstanceCount": most,
            "alwaysReady": [],
            "triggers": http,
        }


def test_prod_is_spread_over_zones_and_regions() -> None:
    plan = read("prod").one("Microsoft.Web/serverfarms")
    assert plan["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert plan["properties"] == {"reserved": True, "zoneRedundant": True}
    cosmos = read("prod").one("Microsoft.DocumentDB/databaseAccounts")["properties"]
    assert cosmos["locations"] == [
        {"locationName": "swedencentral", "failoverPriority": 0, "isZoneRedundant": True},
        {"locationName": "northeurope", "failoverPriority": 1, "isZoneRedundant": True},
    ]
    assert cosmos["enableAutomaticFailover"] is True
    assert {
        each["sku"]["name"] for each in read("prod").of("Microsoft.Storage/storageAccounts")
    } == {"Standard_ZRS"}
    assert read("prod").one("Microsoft.ServiceBus/namespaces")["sku"] == {
        "name": "Premium",
        "tier": "Premium",
        "capacity": 1,
    }


def test_dev_is_at_its_smallest() -> None:
    assert read("dev").one("Microsoft.Web/serverfarms")["properties"]["zoneRedundant"] is False
    cosmos = read("dev").one("Microsoft.DocumentDB/databaseAccounts")["properties"]
    assert cosmos["capabilities"] == [{"name": "EnableServerless"}]
    assert cosmos["locations"] == [
        {"locationName": "swedencentral", "failoverPriority": 0, "isZoneRedundant": False}
    ]
    assert cosmos["enableAutomaticFailover"] is False
    assert read("dev").one("Microsoft.ServiceBus/namespaces")["sku"] == {
        "name": "Standard",
        "tier": "Standard",
    }


def test_throughput_of_prod_is_limited_and_dev_pays_by_request() -> None:
    kind = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases"
    assert read("prod").one(kind)["properties"]["options"] == {
        "autoscaleSettings": {"maxThroughput": 4000}
    }
    assert (
        read("prod").one("Microsoft.DocumentDB/databaseAccounts")["properties"]["capabilities"]
        == []
    )
    assert read("dev").one(kind)["properties"]["options"] == {}


def test_each_instance_reads_what_another_wrote() -> None:
    """Session would hold within one client only."""
    levels = {
        environment: read(environment).one("Microsoft.DocumentDB/databaseAccounts")["properties"][
            "consistencyPolicy"
        ]
        for environment in ENVIRONMENTS
    }
    assert levels == {
        "dev": {"defaultConsistencyLevel": "Strong"},
        "prod": {
            "defaultConsistencyLevel": "BoundedStaleness",
            "maxIntervalInSeconds": 300,
            "maxStalenessPrefix": 100000,
        },
    }


def test_azd_finds_the_template_and_the_app() -> None:
    azd = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))
    assert (ROOT / azd["infra"]["path"] / f"{azd['infra']['module']}.bicep").is_file()
    (service,) = azd["services"]
    assert azd["services"][service] == {
        "project": ".",
        "language": "python",
        "host": "function",
        "remoteBuild": True,
    }
    assert read("dev").one("Microsoft.Web/sites")["tags"]["azd-service-name"] == service
    for hook in azd["hooks"].values():
        assert {system: (ROOT / run["run"]).is_file() for system, run in hook.items()} == {
            "posix": True,
            "windows": True,
        }
