"""The Bicep files, without a compiler: what they create, who may do what, and that they agree with
the code and the emulators."""

from __future__ import annotations

import ast
import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra import infra_bicep as bicep
from tests.infra.infra_bicep import FILES, INFRA, ROOT, accessor, body, call, read

RESOURCE_FILES = [name for name in FILES if name != "main.bicep"]
KEYWORDS = {
    *("array", "bool", "int", "null", "object", "string", "true", "false"),
    *("existing", "for", "if", "in", "module", "output", "param", "resource", "targetScope", "var"),
}

# What Functions, its extensions and its SDKs read, and why each is set.
RUNTIME_SETTINGS = {
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "telemetry is sent with the identity",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "where to; it admits nobody while local auth is off",
    "AzureWebJobsStorage__accountName": "the host's storage",
    "AzureWebJobsStorage__clientId": "with the identity",
    "AzureWebJobsStorage__credential": "with the identity",
    "ServiceBus__clientId": "the trigger's connection, with the identity",
    "ServiceBus__credential": "the trigger's connection, with the identity",
}
# What the code reads and Azure does not have: connection strings and keys of the emulators, and the
# switch that lets anybody in.
LOCAL_SETTINGS = {"AUTH_MODE", "AzureWebJobsStorage", "COSMOS_KEY", "ServiceBus"}
# Another way to say what a setting that is set says.
ALTERNATIVES = {"AzureWebJobsStorage__blobServiceUri": "AzureWebJobsStorage__accountName"}

# Checked against the management SDKs of that day, which name the stable versions.
REVIEWED = dt.date(2026, 11, 24)
# The latest stable version of these types is older than two years.
OLD_BUT_LATEST = {
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/metricAlerts": "2018-03-01",
    "Microsoft.Insights/scheduledQueryRules": "2023-12-01",
    "Microsoft.Insights/workbooks": "2023-06-01",
    "Microsoft.Network/privateDnsZones": "2024-06-01",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "2024-06-01",
}

# Every role anybody gets: its name here, its id, and what it is given on.
ROLES = {
    ("roles.bicep", "send"): (
        "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
        "Microsoft.ServiceBus/namespaces/queues",
    ),
    ("roles.bicep", "receive"): (
        "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
        "Microsoft.ServiceBus/namespaces/queues",
    ),
    ("roles.bicep", "archive"): (
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "Microsoft.Storage/storageAccounts/blobServices/containers",
    ),
    ("roles.bicep", "secrets"): (
        "4633458b-17de-408a-b874-0445c86b69e6",
        "Microsoft.KeyVault/vaults",
    ),
    ("host-roles.bicep", "hostStorage"): (
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "Microsoft.Storage/storageAccounts",
    ),
    ("host-roles.bicep", "scaling"): (
        "090c5cfd-751d-490a-894a-3ce6f1109419",
        "Microsoft.ServiceBus/namespaces/queues",
    ),
    ("host-roles.bicep", "telemetry"): (
        "3913510d-42f4-4e42-8a64-420c390055eb",
        "Microsoft.Insights/components",
    ),
}

SECRETS = re.compile(
    r"list(Keys|ConnectionStrings|AccountSas|ServiceSas|Secrets|Credentials|AdminKeys)|\blist\("
    r"|AccountKey=|SharedAccess(Key|Signature)|Endpoint=sb:|AccountEndpoint=|[?&]sig="
    r"|\b(primary|secondary)(Master)?(Key|ConnectionString)|InstrumentationKey|authorizationRules",
    re.IGNORECASE,
)
LONG_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


# --- form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_every_file_can_be_parsed(name: str) -> None:
    parsed = read(name)
    assert parsed.part("resources") or parsed.part("modules")


@pytest.mark.parametrize("name", FILES)
def test_parser_loses_nothing(name: str) -> None:
    """What a parser overlooks, no test below sees."""
    parsed = read(name)
    for keyword, kind in {
        "param": "parameters",
        "var": "variables",
        "resource": "resources",
        "module": "modules",
        "output": "outputs",
    }.items():
        declared = re.findall(rf"^\s*{keyword} (\w+)", parsed.text, re.MULTILINE)
        assert sorted(declared) == sorted(parsed.part(kind)), keyword


@pytest.mark.parametrize("name", FILES)
def test_every_parameter_and_output_is_described(name: str) -> None:
    for kind in ("parameters", "outputs"):
        for entry, declared in read(name).part(kind).items():
            said = [d["argument"] for d in declared["decorators"] if d["type"] == "description"]
            assert len(said) == 1, f"{entry} has no @description"
            assert said[0].endswith("."), f"{entry}: end the sentence"
            if kind == "parameters":
                optional = declared["default"] is not None
                assert said[0].startswith("Optional. " if optional else "Required. "), entry


@pytest.mark.parametrize("name", FILES)
def test_every_name_is_declared(name: str) -> None:
    parsed = read(name)
    known = {entry for kind in parsed.parsed if kind != "globals" for entry in parsed.part(kind)}
    known |= set(re.findall(r"\[for (\w+) in", parsed.text))
    for pair in re.findall(r"\[for \((\w+), (\w+)\) in", parsed.text):
        known |= set(pair)
    # Of a string only what it interpolates is code; a name before ":" is a key, after "." a member.
    code = re.sub(
        r"'(?:[^'\\]|\\.)*'",
        lambda string: " ".join(re.findall(r"\$\{([^}]*)\}", string[0])),
        re.sub(r"^@\w+\(.*\)$", "", parsed.text, flags=re.MULTILINE),
    )
    used = set(re.findall(r"(?<![\w.?])[A-Za-z_]\w*(?![\w:(])", code))
    assert used - KEYWORDS <= known


@pytest.mark.parametrize("name", FILES)
def test_everything_declared_is_used(name: str) -> None:
    parsed = read(name)
    for kind in ("parameters", "variables"):
        for entry in parsed.part(kind):
            assert len(re.findall(rf"\b{entry}\b", parsed.text)) > 1, f"{entry} is used nowhere"


@pytest.mark.parametrize("name", FILES)
def test_parents_and_dependencies_exist(name: str) -> None:
    parsed = read(name)
    known = set(parsed.part("resources")) | set(parsed.part("modules"))
    for entry in [*parsed.part("resources").values(), *parsed.part("modules").values()]:
        config = body(entry)
        scope = config.get("scope")
        wanted = [config.get("parent"), scope if isinstance(scope, str) else None]
        wanted += config.get("dependsOn", [])
        for reference in wanted:
            if isinstance(reference, str):
                assert reference in known
            elif reference is not None:
                assert reference["operator"]["operands"]["operand_1"] in known


def test_modules_get_the_parameters_they_declare() -> None:
    for name, module in read("main.bicep").part("modules").items():
        declared = read(module["detail"]["path"]).part("parameters")
        given = set(body(module)["params"])
        required = {entry for entry, param in declared.items() if param["default"] is None}
        assert required <= given <= set(declared), name


def test_every_file_is_part_of_the_deployment() -> None:
    modules = {m["detail"]["path"] for m in read("main.bicep").part("modules").values()}
    # The hook deploys the key on its own, since it must not be in the template.
    assert modules | {"main.bicep", "password-keys.bicep"} == set(FILES)


def test_outputs_of_modules_that_are_used_exist_and_others_do_not() -> None:
    main = read("main.bicep")
    modules = {name: m["detail"]["path"] for name, m in main.part("modules").items()}
    used = set(re.findall(r"\b(\w+)!?\.outputs\.(\w+)", main.text))
    declared = {
        (name, output) for name, path in modules.items() for output in read(path).part("outputs")
    }
    assert used == declared


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_loaded_exist(name: str) -> None:
    for path in re.findall(r"load\w+Content\('([^']+)'", read(name).text):
        json.loads((INFRA / path).read_text("utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_api_versions_are_recent_and_stable(name: str) -> None:
    for entry, resource in read(name).part("resources").items():
        version, kind = resource["api_version"], resource["type"]
        day = dt.date.fromisoformat(version)  # fails for a preview
        if OLD_BUT_LATEST.get(kind) != version:
            assert day > REVIEWED.replace(year=REVIEWED.year - 2), f"{entry}: {kind}@{version}"
    versions = {
        (r["type"], r["api_version"])
        for other in FILES
        for r in read(other).part("resources").values()
    }
    assert len(versions) == len({kind for kind, _ in versions}), "one version for a type"


def test_parameter_files_name_what_main_declares() -> None:
    declared = read("main.bicep").part("parameters")
    required = {name for name, entry in declared.items() if entry["default"] is None}
    named = bicep.parameter_files()
    assert set(named) == {"main.parameters.json", "dev.bicepparam", "prod.bicepparam"}
    for name, given in named.items():
        assert required <= given <= set(declared), name


@pytest.mark.parametrize("path", bicep.PARAMETER_FILES, ids=lambda path: path.stem)
def test_parameter_files_use_main(path: Path) -> None:
    using = re.findall(r"^using '([^']+)'$", path.read_text("utf-8"), re.MULTILINE)
    assert [(path.parent / name).resolve() for name in using] == [INFRA / "main.bicep"]


def test_values_of_parameter_files_are_allowed() -> None:
    declared = read("main.bicep").part("parameters")
    for path in bicep.PARAMETER_FILES:
        for name, text in re.findall(r"^param (\w+) = (.+)$", path.read_text("utf-8"), re.M):
            allowed = [d for d in declared[name]["decorators"] if d["type"] == "allowed"]
            if allowed:
                assert ast.literal_eval(text) in allowed[0]["argument"], f"{path.name}: {name}"


# --- no secret, no key ----------------------------------------------------------------------------


def _all_texts() -> list[Path]:
    return [p for p in INFRA.rglob("*") if p.suffix in (".bicep", ".bicepparam", ".json", ".sh")]


@pytest.mark.parametrize("path", _all_texts(), ids=lambda path: path.name)
def test_no_key_secret_or_connection_string(path: Path) -> None:
    text = path.read_text("utf-8")
    assert SECRETS.search(text) is None
    assert LONG_BASE64.search(re.sub(r"[\w.-]+(/[\w.-]+)+", "", text)) is None


@pytest.mark.parametrize("name", RESOURCE_FILES)
def test_connection_string_of_telemetry_is_the_only_one(name: str) -> None:
    found = re.findall(r"[\w.]*ConnectionString\b", read(name).text)
    assert found == (["insights.properties.ConnectionString"] if name == "app.bicep" else [])


def test_secret_parameters_are_secure_and_hold_no_default() -> None:
    for name in FILES:
        for entry, param in read(name).part("parameters").items():
            secure = any(d["type"] == "secure" for d in param["decorators"])
            assert secure == (entry == "passwordKeys")
            assert not secure or param["default"] is None


@pytest.mark.parametrize(
    ("name", "resource", "path", "value"),
    [
        ("data.bicep", "account", "disableLocalAuth", True),
        ("data.bicep", "account", "disableKeyBasedMetadataWriteAccess", True),
        ("data.bicep", "account", "minimalTlsVersion", "Tls12"),
        ("data.bicep", "account", "backupPolicy.type", "Continuous"),
        ("data.bicep", "storage", "allowSharedKeyAccess", False),
        ("data.bicep", "storage", "allowBlobPublicAccess", False),
        ("data.bicep", "storage", "minimumTlsVersion", "TLS1_2"),
        ("data.bicep", "storage", "supportsHttpsTrafficOnly", True),
        ("data.bicep", "vault", "enableRbacAuthorization", True),
        ("data.bicep", "vault", "enableSoftDelete", True),
        ("messaging.bicep", "namespace", "disableLocalAuth", True),
        ("messaging.bicep", "namespace", "minimumTlsVersion", "1.2"),
        ("observability.bicep", "insights", "DisableLocalAuth", True),
        ("observability.bicep", "workspace", "features.disableLocalAuth", True),
        ("app.bicep", "site", "httpsOnly", True),
        ("app.bicep", "site", "siteConfig.minTlsVersion", "1.2"),
        ("app.bicep", "site", "keyVaultReferenceIdentity", "identityId"),
        ("app.bicep", "ftpPublishing", "allow", False),
        ("app.bicep", "scmPublishing", "allow", False),
    ],
)
def test_services_are_locked_down(name: str, resource: str, path: str, value: Any) -> None:
    found: Any = read(name).resource(resource)["properties"]
    for member in path.split("."):
        found = found[member]
    assert found == value


@pytest.mark.parametrize(
    ("name", "resource"),
    [("data.bicep", "account"), ("data.bicep", "storage"), ("data.bicep", "vault")],
)
def test_private_network_closes_the_public_door(name: str, resource: str) -> None:
    assert read(name).resource(resource)["properties"]["publicNetworkAccess"] == (
        "publicNetworkAccess"
    )
    choice = read(name).variable("publicNetworkAccess")["operator"]
    assert choice["operands"] == {
        "condition": "privateNetwork",
        "true_value": "Disabled",
        "false_value": "Enabled",
    }


def test_every_service_that_closes_its_door_has_a_private_endpoint() -> None:
    targets = re.findall(r"id: (\w+)\.outputs\.(\w+), group: '(\w+)'", read("main.bicep").text)
    assert targets == [
        ("data", "storageId", "blob"),
        ("data", "cosmosId", "Sql"),
        ("data", "vaultId", "vault"),
        ("messaging", "namespaceId", "namespace"),
    ]


# --- roles ----------------------------------------------------------------------------------------


def test_the_roles_are_these_and_no_others() -> None:
    found = {
        (name, entry)
        for name in FILES
        for entry in read(name).by_type("Microsoft.Authorization/roleAssignments")
    }
    assert found == set(ROLES)


@pytest.mark.parametrize(("name", "entry"), ROLES, ids=lambda part: str(part))
def test_a_role_is_given_on_the_narrowest_resource(name: str, entry: str) -> None:
    role_id, scope_type = ROLES[name, entry]
    parsed = read(name)
    assignment = parsed.by_type("Microsoft.Authorization/roleAssignments")[entry]
    properties, scope = assignment["properties"], assignment["scope"]
    assert parsed.part("resources")[scope]["type"] == scope_type
    function, arguments = call(properties["roleDefinitionId"]) or ("", [])
    assert function == "subscription_resource_id"
    assert arguments[0] == "Microsoft.Authorization/roleDefinitions"
    named = accessor(arguments[1]) or ""
    assert named.startswith("roles.")
    assert parsed.variable("roles")[named.removeprefix("roles.")] == role_id
    assert properties["principalId"] == "principalId"


@pytest.mark.parametrize(("name", "entry"), ROLES, ids=lambda part: str(part))
def test_a_role_assignment_is_named_by_what_it_says(name: str, entry: str) -> None:
    """Then a second deployment finds it, and no two have one name."""
    assignment = read(name).by_type("Microsoft.Authorization/roleAssignments")[entry]
    role = accessor((call(assignment["properties"]["roleDefinitionId"]) or ("", ["", ""]))[1][1])
    function, arguments = call(assignment["name"]) or ("", [])
    assert function == "guid"
    assert [accessor(part) for part in arguments] == [
        f"{assignment['scope']}.id",
        "principalId",
        role,
    ]


def test_cosmos_role_is_data_contributor_on_the_database() -> None:
    parsed = read("roles.bicep")
    kind = "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments"
    (assignment,) = parsed.by_type(kind).values()
    assert assignment["parent"] == "account"
    assert assignment["properties"] == {
        "principalId": "principalId",
        "roleDefinitionId": ("${account.id}/sqlRoleDefinitions/${roles.cosmosDataContributor}"),
        "scope": "${account.id}/dbs/${databaseName}",
    }
    role = parsed.variable("roles")["cosmosDataContributor"]
    assert role == "00000000-0000-0000-0000-000000000002"
    function, arguments = call(assignment["name"]) or ("", [])
    assert (function, [accessor(part) for part in arguments]) == (
        "guid",
        ["account.id", "databaseName", "principalId", "roles.cosmosDataContributor"],
    )
    assert not any(read(name).by_type(kind) for name in FILES if name != "roles.bicep")


def test_no_role_is_listed_that_is_not_given() -> None:
    for name in ("roles.bicep", "host-roles.bicep"):
        for role in read(name).variable("roles"):
            assert len(re.findall(rf"\broles\.{role}\b", read(name).text)) == 2, role


def test_roles_are_the_apps_and_on_request_a_developers() -> None:
    modules = read("main.bicep").part("modules")
    given = {
        name: accessor(body(module)["params"]["principalId"])
        for name, module in modules.items()
        if "principalId" in body(module)["params"]
    }
    assert given == {
        "appRoles": "identity.outputs.principalId",
        "hostRoles": "identity.outputs.principalId",
        "developerRoles": "developerPrincipalId",
    }
    assert "if (!empty(developerPrincipalId))" in read("main.bicep").text
    assert modules["developerRoles"]["detail"]["path"] == modules["appRoles"]["detail"]["path"]


def test_the_app_starts_after_its_roles_and_the_way_to_its_services() -> None:
    app = body(read("main.bicep").part("modules")["app"])
    assert set(app["dependsOn"]) == {"appRoles", "hostRoles", "privateEndpoints"}


# --- settings -------------------------------------------------------------------------------------


def settings_read_by_code() -> set[str]:
    """The names that the readers of settings in shared/ ask their mapping for."""
    found: set[str] = set()
    for path in sorted((ROOT / "shared").rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef) and any(
                argument.arg in ("environ", "values") for argument in function.args.args
            ):
                found |= _names_asked_for(function)
    return found


def _names_asked_for(function: ast.FunctionDef) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and node.args:
            asked = node.func
            own = isinstance(asked, ast.Name) and asked.id == "required"
            get = (
                isinstance(asked, ast.Attribute)
                and asked.attr == "get"
                and isinstance(asked.value, ast.Name)
                and asked.value.id in ("environ", "values")
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


def app_settings() -> dict[str, Any]:
    """Every setting that Bicep gives the app."""
    settings: dict[str, Any] = read("app.bicep").variable("appSettings")
    return settings


def test_reader_of_the_code_finds_what_is_there() -> None:
    assert {"COSMOS_ENDPOINT", "COSMOS_KEY", "AUTH_TENANTS"} <= settings_read_by_code()


def test_every_setting_the_app_reads_is_set() -> None:
    assert set(ALTERNATIVES.values()) <= set(app_settings())
    missing = settings_read_by_code() - LOCAL_SETTINGS - set(ALTERNATIVES) - set(app_settings())
    assert missing == set(), "add a line to appSettings in infra/app.bicep"


def test_nothing_is_set_that_nobody_reads() -> None:
    assert set(app_settings()) - settings_read_by_code() <= set(RUNTIME_SETTINGS)
    assert set(RUNTIME_SETTINGS) <= set(app_settings()), "no longer set: take it off the list"


def test_nothing_is_set_that_is_for_local_use() -> None:
    assert not LOCAL_SETTINGS & set(app_settings())
    assert settings_read_by_code() >= LOCAL_SETTINGS, "no longer read: take it off the list"


def test_settings_are_the_apps_only_ones() -> None:
    settings = read("app.bicep").resource("settings")
    assert (settings["parent"], settings["name"]) == ("site", "appsettings")
    assert settings["properties"] == "appSettings"
    assert "appSettings" not in read("app.bicep").resource("site")["properties"]["siteConfig"]


def test_identity_based_connections_are_complete() -> None:
    settings = app_settings()
    for connection, address in (
        ("ServiceBus", "fullyQualifiedNamespace"),
        ("AzureWebJobsStorage", "accountName"),
    ):
        given = {name for name in settings if name.startswith(f"{connection}__")}
        assert given == {f"{connection}__{part}" for part in (address, "clientId", "credential")}
        assert settings[f"{connection}__credential"] == "managedidentity"
        assert settings[f"{connection}__clientId"] == "identityClientId"
    assert settings["AZURE_CLIENT_ID"] == "identityClientId"


def test_password_keys_come_from_the_vault() -> None:
    assert app_settings()["PASSWORD_KEYS"] == ("@Microsoft.KeyVault(SecretUri=${passwordKeysUri})")
    assert body(read("main.bicep").part("modules")["app"])["params"]["passwordKeysUri"] == (
        "${data.outputs.vaultUri}secrets/${passwordKeysSecret}"
    )


def test_bindings_name_connections_and_settings_that_are_set() -> None:
    source = "\n".join(p.read_text("utf-8") for p in sorted((ROOT / "functions").glob("*.py")))
    settings = app_settings()
    for name in re.findall(r"\"%(\w+)%\"", source):
        assert name in settings
    for connection in re.findall(r"connection=\"(\w+)\"", source):
        assert any(name.startswith(f"{connection}__") for name in settings)


# --- the same facts elsewhere ---------------------------------------------------------------------


def test_queues_are_those_of_the_emulator() -> None:
    parsed = read("messaging.bicep")
    assert (
        "loadJsonContent('../shared/resources/queues.json').UserConfig.Namespaces[0].Queues"
        in parsed.text
    )
    file = json.loads((ROOT / "shared/resources/queues.json").read_text("utf-8"))
    (namespace,) = file["UserConfig"]["Namespaces"]
    created = parsed.resource("serviceBusQueues")
    assert accessor(created["name"]) == "queue.Name"
    taken = {accessor(value) for value in created["properties"].values()}
    for queue in namespace["Queues"]:
        told = {f"queue.Properties.{name}" for name, value in queue["Properties"].items() if value}
        assert told <= taken, "a property of the queue that Bicep does not take over"
    for name, value in created["properties"].items():
        assert accessor(value) == f"queue.Properties.{name[0].upper()}{name[1:]}"


def test_readiness_queue_is_the_first_of_the_file() -> None:
    from local.config import READINESS_QUEUE

    file = json.loads((ROOT / "shared/resources/queues.json").read_text("utf-8"))
    assert file["UserConfig"]["Namespaces"][0]["Queues"][0]["Name"] == READINESS_QUEUE
    assert "output readinessQueue string = serviceBusQueues[0].name" in read("messaging.bicep").text


def test_lock_outlasts_the_longest_execution() -> None:
    file = json.loads((ROOT / "shared/resources/queues.json").read_text("utf-8"))
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))
    lock = file["UserConfig"]["Namespaces"][0]["Queues"][0]["Properties"]["LockDuration"]
    assert lock == "PT1M"
    assert dt.timedelta(hours=hours, minutes=minutes, seconds=seconds) <= dt.timedelta(minutes=1)


def test_containers_are_those_of_the_emulator() -> None:
    parsed = read("data.bicep")
    assert "loadJsonContent('../shared/resources/containers.json').containers" in parsed.text
    created = parsed.resource("cosmosContainers")
    assert accessor(created["name"]) == "container.name"
    resource = created["properties"]["resource"]
    assert accessor(resource["id"]) == "container.name"
    assert [accessor(path) for path in resource["partitionKey"]["paths"]] == [
        "container.partitionKey"
    ]
    assert accessor(resource["indexingPolicy"]) == "container.indexingPolicy"
    unique = resource["uniqueKeyPolicy"]["uniqueKeys"]
    assert accessor(unique["loop_type"]["detail"]["array_name"]) == "container.uniqueKeys"
    assert unique["config"] == {"paths": "paths"}


def test_containers_have_no_property_that_bicep_overlooks() -> None:
    file = json.loads((ROOT / "shared/resources/containers.json").read_text("utf-8"))
    known = {"name", "partitionKey", "uniqueKeys", "indexingPolicy"}
    assert [set(container) for container in file["containers"]] == [known] * len(file["containers"])
    for container in file["containers"]:
        assert isinstance(container["partitionKey"], str)
        assert all(isinstance(paths, list) for paths in container["uniqueKeys"])


def test_database_has_one_name_everywhere() -> None:
    from local.config import COSMOS_DATABASE

    assert read("data.bicep").variable("databaseName") == COSMOS_DATABASE


def test_python_is_the_same_everywhere() -> None:
    version = read("app.bicep").variable("pythonVersion")
    runtime = read("app.bicep").resource("site")["properties"]["functionAppConfig"]["runtime"]
    assert runtime == {"name": "python", "version": "pythonVersion"}
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    least, above = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project)[0]
    assert int(least) <= int(version.removeprefix("3.")) == int(above) - 1
    workflow = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text("utf-8"))
    used = [
        step["with"]["python-version"]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    assert used
    assert set(used) == {version}


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
    assert f"'azd-service-name': '{service}'" in read("app.bicep").text
    for hook in azd["hooks"].values():
        assert {system: (ROOT / run["run"]).is_file() for system, run in hook.items()} == {
            "posix": True,
            "windows": True,
        }


def test_parameters_that_azd_fills_in_come_from_its_environment() -> None:
    text = (INFRA / "main.parameters.json").read_text("utf-8")
    for value in json.loads(text)["parameters"].values():
        assert re.fullmatch(r"\$\{[A-Z_]+(=[\w.-]*)?\}", value["value"])


# --- alerts and workbook --------------------------------------------------------------------------


def test_there_is_an_alert_for_each_thing_that_goes_wrong() -> None:
    parsed = read("alerts.bicep")
    metrics = {alert["name"]: alert for alert in parsed.variable("metricAlerts")}
    logs = {alert["name"]: alert for alert in parsed.variable("logAlerts")}
    measured = {
        name: [(c["metricName"], c["operator"]) for c in alert["criteria"]]
        for name, alert in metrics.items()
    }
    assert measured == {
        "dead-letters-left": [("DeadletteredMessages", "GreaterThan")],
        "queue-age": [("ActiveMessages", "GreaterThan"), ("CompleteMessage", "LessThan")],
        "queue-backlog": [("ActiveMessages", "GreaterThan")],
        "cosmos-throttling": [("TotalRequests", "GreaterThan")],
    }
    assert metrics["dead-letters-left"]["criteria"][0]["threshold"] == 0
    assert set(logs) == {"dead-letters", "late-events", "server-errors", "slow-answers"}
    assert logs["dead-letters"]["threshold"] == 0
    for alert in logs.values():
        assert re.search(rf"\b{alert['column']} = |project p95$", parsed.variable(alert["query"]))
    for alert in [*metrics.values(), *logs.values()]:
        assert alert["description"].endswith((".", "?"))


def test_workbook_and_alerts_ask_for_what_the_code_logs() -> None:
    items = json.loads((INFRA / "workbook.json").read_text("utf-8"))["items"]
    queries = [item["content"]["query"] for item in items if "query" in item["content"]]
    queries += [read("alerts.bicep").variable(name) for name in ("letterQuery", "lateQuery")]
    asked = {name for query in queries for name in re.findall(r"\bline\.(\w+)", query)}
    assert len(queries) == 8
    assert {"flowId", "to", "outcome"} <= asked <= members_logged() | {"event"}
    events = {name for query in queries for name in re.findall(r"event\) == ['\"](\w+)", query)}
    assert events == {"request", "deadLetterArchived"} <= events_logged()


def _log_lines() -> list[ast.Call]:
    return [
        node
        for folder in ("functions", "shared")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "log_event"
    ]


def members_logged() -> set[str]:
    """The members of all structured log lines."""
    return {keyword.arg for call in _log_lines() for keyword in call.keywords if keyword.arg}


def events_logged() -> set[str]:
    """The events of all structured log lines that the source names in full."""
    firsts = [call.args[0] for call in _log_lines()]
    return {str(first.value) for first in firsts if isinstance(first, ast.Constant)}


def test_container_for_dead_letters_is_the_one_that_the_code_writes_to() -> None:
    from shared.adapters.archive import CONTAINER

    assert read("data.bicep").resource("deadLetters")["name"] == CONTAINER
