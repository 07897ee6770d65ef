"""The pages about deployment and cost, and the workflow: what they name exists, what they count is
right."""

from __future__ import annotations

import base64
import fnmatch
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import cost
from shared.adapters.keyring import Keyring
from shared.contract.loading import load_flow
from shared.domain import flows
from shared.domain.context import LOCAL_TENANT
from shared.services.provisioning_flows import new_flow
from tests.infra.plan import INFRA, ROOT, declared, read

DEPLOY = (ROOT / "docs/deploy.md").read_text("utf-8")
COST = (ROOT / "docs/cost-and-scale.md").read_text("utf-8")
WORKFLOW_FILE = ROOT / ".github/workflows/deploy.yml"
# YAML 1.1 reads the word "on" as true.
WORKFLOW: dict[Any, Any] = yaml.safe_load(WORKFLOW_FILE.read_text("utf-8"))
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", DEPLOY, re.DOTALL)
    for line in block.split("\n")
    if line
]
# Set by azd itself, and by the command that the page gives.
AZD_NAMES = {"API_CLIENT_ID", "AZURE_LOCATION"}


# --- docs/deploy.md -------------------------------------------------------------------------------


def test_deploying_takes_at_most_ten_commands() -> None:
    assert 0 < len(COMMANDS) <= 10


def test_each_command_of_deploying_is_explained() -> None:
    steps = re.search(r"```sh\n(.*?)```\n\n(.*?)\n\n", DEPLOY, re.DOTALL)
    assert steps is not None
    commands = steps[1].strip().split("\n")
    explained = re.findall(r"^(\d+)\. ", steps[2], re.MULTILINE)
    assert explained == [str(number) for number in range(1, len(commands) + 1)]


def test_the_page_names_outputs_and_parameters_that_exist() -> None:
    known = set(read("dev").outputs) | AZD_NAMES
    for name in re.findall(r"azd env get-value (\w+)", DEPLOY):
        assert name in known
    filled = re.findall(r"\$\{(\w+)", (INFRA / "main.parameters.json").read_text("utf-8"))
    table = re.findall(r"^\| `([A-Z_]+)` \|", DEPLOY, re.MULTILINE)
    assert set(table) == set(filled) - {"AZURE_ENV_NAME", "AZURE_LOCATION", "API_CLIENT_ID"}
    parameters = {name for file in ("main.bicep", "alerts.bicep") for name in declared(file)}
    for page in (DEPLOY, COST):
        for name in re.findall(r"`([a-z]+(?:[A-Z]\w*)+)`", page):
            known = parameters | {"appRoleAssignmentRequired", "maxConcurrentCalls", "notReady"}
            assert name in known, name


def test_defaults_in_the_page_are_those_of_azd() -> None:
    text = (INFRA / "main.parameters.json").read_text("utf-8")
    defaults = dict(re.findall(r"\$\{(\w+)=(\w*)\}", text))
    for name, default in re.findall(r"^\| `([A-Z_]+)` \| `?(\w+)`? \|", DEPLOY, re.MULTILINE):
        assert default == (defaults[name] or "none"), name


def test_every_output_is_used_somewhere() -> None:
    users = [
        DEPLOY,
        WORKFLOW_FILE.read_text("utf-8"),
        (INFRA / "hooks/postprovision.sh").read_text("utf-8"),
        # What the operators' commands read.
        (ROOT / "shared/settings.py").read_text("utf-8"),
        (ROOT / "docs/operations.md").read_text("utf-8"),
    ]
    for name in read("dev").outputs:
        assert any(re.search(rf"\b{name}\b", text) for text in users), name


@pytest.mark.parametrize("page", ["deploy.md", "cost-and-scale.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / "docs" / page
    for target in re.findall(r"\]\(([^)#]+)", path.read_text("utf-8")):
        if not target.startswith("https://"):
            assert (path.parent / target).exists(), target
    for named in re.findall(r"\binfra/[\w./-]*\w", path.read_text("utf-8")):
        assert (ROOT / named).exists() or list((ROOT / named).parent.glob(f"{Path(named).name}*"))


def test_alerts_in_the_page_are_those_that_exist() -> None:
    made = read("dev")
    alerts = [
        *made.of("Microsoft.Insights/metricAlerts"),
        *made.of("Microsoft.Insights/scheduledQueryRules"),
    ]
    known = {alert["name"].removesuffix(f"-{made.base}") for alert in alerts}
    operations = (ROOT / "docs/operations.md").read_text("utf-8")
    named = re.findall(r"[Aa]lerts?\s+`([\w-]+)`", COST + operations)
    assert len(named) >= 4
    assert set(named) <= known


# --- the workflow ---------------------------------------------------------------------------------


def test_workflow_does_its_steps_in_order() -> None:
    needs = {name: job.get("needs", []) for name, job in WORKFLOW["jobs"].items()}
    assert needs == {
        "check": [],
        "test": [],
        "package": ["check", "test"],
        "what-if": "package",
        "deploy": "what-if",
        "smoke": "deploy",
    }


def test_make_targets_and_scripts_that_the_workflow_runs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    commands = "\n".join(step.get("run", "") for step in STEPS)
    made = re.findall(r"\bmake ([\w-]+)", commands)
    assert set(made) == {"check", "infra-check", "test"} <= targets
    scripts = re.findall(r"\b(?:sh|python) (\S+\.(?:sh|py))", commands)
    assert set(scripts) == {"infra/hooks/postprovision.sh", "infra/smoke.py"}
    assert all((ROOT / script).is_file() for script in scripts)


def test_actions_are_pinned_by_major_version() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action) for action in used)


def test_workflow_holds_no_secret_and_signs_in_by_token() -> None:
    text = WORKFLOW_FILE.read_text("utf-8")
    assert "secrets." not in text
    assert "creds:" not in text
    for name, job in WORKFLOW["jobs"].items():
        signs_in = any("azure/login" in step.get("uses", "") for step in job["steps"])
        assert signs_in == ("id-token" in job.get("permissions", {})), name
        assert signs_in == ("environment" in job), name


def test_pull_requests_deploy_nothing() -> None:
    assert WORKFLOW["jobs"]["what-if"]["if"] == "github.event_name != 'pull_request'"


def test_workflow_passes_text_from_outside_by_environment() -> None:
    """Text in ${{ }} inside a command would be run as part of it."""
    assert not any("${{" in step.get("run", "") for step in STEPS)


def test_code_is_built_in_azure() -> None:
    (deploy,) = [step for step in STEPS if "functions-action" in step.get("uses", "")]
    assert deploy["with"]["remote-build"] is True
    assert deploy["with"]["sku"] == "flexconsumption"


def test_what_is_shown_is_what_is_deployed() -> None:
    commands = [step["run"] for step in STEPS if "az deployment sub" in step.get("run", "")]
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command.replace("\\\n", " "))
        assert words[words.index("--template-file") + 1] == "infra/main.bicep"
        assert words[words.index("--parameters") + 1] == "infra/environments/$TARGET.bicepparam"
    chosen = WORKFLOW[True]["workflow_dispatch"]["inputs"]["environment"]["options"]
    assert set(chosen) == {path.stem for path in (INFRA / "environments").glob("*.bicepparam")}


def test_parameter_files_need_what_the_workflow_sets() -> None:
    files = (INFRA / "environments").glob("*.bicepparam")
    needed = {
        name
        for path in files
        for name in re.findall(r"readEnvironmentVariable\('(\w+)'", path.read_text("utf-8"))
    }
    for job in ("what-if", "deploy"):
        assert needed <= set(WORKFLOW["jobs"][job]["env"])


def test_hook_gets_what_it_needs_in_the_workflow() -> None:
    needed = re.findall(r'"\$\{(\w+):\?', (INFRA / "hooks/postprovision.sh").read_text("utf-8"))
    given = set(read("dev").outputs) | set(WORKFLOW["jobs"]["deploy"]["env"])
    assert needed
    assert set(needed) <= given


def test_package_is_what_funcignore_leaves() -> None:
    (command,) = [step["run"] for step in STEPS if "git archive" in step.get("run", "")]
    packed = set(shlex.split(command)[5:])
    ignored = [
        line.strip("/")
        for line in (ROOT / ".funcignore").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    left = {top for top in tops if not any(fnmatch.fnmatch(top, pattern) for pattern in ignored)}
    assert packed == left


# --- docs/cost-and-scale.md -----------------------------------------------------------------------


@pytest.mark.parametrize("line", [line for line in cost.lines() if line])
def test_the_page_says_what_the_script_computes(line: str) -> None:
    assert line in COST


def test_the_page_has_no_figure_of_its_own_in_dollars() -> None:
    printed = set(re.findall(r"\$[\d,.]*\d", "\n".join(cost.lines())))
    assert set(re.findall(r"\$[\d,.]*\d", COST)) == printed


def test_a_full_flow_set_is_no_larger_than_computed_with() -> None:
    keyring = Keyring.read(f"a:{base64.b64encode(bytes(32)).decode()}", LOCAL_TENANT)
    stored = flows.new_flow_set({"displayName": "Contoso schools", "filter": None})
    for path in sorted((ROOT / "shared/contract/examples").glob("*.request.json")):
        kind, values = load_flow(json.loads(path.read_text("utf-8")))
        stored["flows"][kind] = new_flow(kind, values, keyring)
    assert len(stored["flows"]) == cost.FLOWS_A_SET
    # What Cosmos DB adds of its own (_rid, _self, _etag, _ts) is less than this.
    size = len(json.dumps(stored, separators=(",", ":"))) + 300
    assert cost.DOCUMENT_KB / 2 < size / 1000 <= cost.DOCUMENT_KB


def test_published_request_units_are_met() -> None:
    assert [cost.read_ru(kb) for kb in (1, 100)] == [1, 10]
    assert [cost.write_ru(kb) for kb in (1, 100)] == [5, 50]


def test_figures_of_the_infrastructure_are_those_of_bicep() -> None:
    defaults = declared("main.bicep")
    assert int(defaults["logDailyQuotaGb"]) == cost.DAILY_QUOTA_GB
    assert int(defaults["instanceMemoryMB"]) == cost.INSTANCE_GB * 1024
    assert f"HTTP, {defaults['maximumInstanceCount']} instances" in dict(cost.limits())
    host = json.loads((ROOT / "host.json").read_text("utf-8"))
    calls = host["extensions"]["serviceBus"]["maxConcurrentCalls"]
    assert f"one instance for each {calls} waiting" in COST


def test_function_groups_are_those_of_the_app() -> None:
    """All HTTP functions scale as one group, every other function by itself."""
    source = "\n".join(p.read_text("utf-8") for p in sorted((ROOT / "functions").rglob("*.py")))
    others = re.findall(r"^@bp\.(?!route\b)\w+_trigger\(", source, re.MULTILINE)
    assert 1 + len(others) == cost.FUNCTION_GROUPS


def test_what_prod_keeps_ready_is_what_the_page_counts() -> None:
    made = read("prod")
    assert made.one("Microsoft.Web/serverfarms")["properties"]["zoneRedundant"] is True
    assert len(made.of("Microsoft.Network/privateEndpoints")) == cost.PRIVATE_ENDPOINTS
    # 10 instances of 2 GB at $0.000004 a GB-second.
    (kept,) = [each for name, each in cost.fixed() if name.startswith("Zone redundancy")]
    assert kept == pytest.approx(10 * 2 * 0.000004 * 730 * 3600)
    levels = [read(each).one("Microsoft.DocumentDB/databaseAccounts") for each in ("dev", "prod")]
    names = [each["properties"]["consistencyPolicy"]["defaultConsistencyLevel"] for each in levels]
    assert all(
        (name in ("Strong", "BoundedStaleness")) == (cost.READ_FACTOR == 2) for name in names
    )


def test_cost_of_a_month_adds_up() -> None:
    month = cost.Month(1_000_000)
    seconds = (220 * 3600 + 61_320) * 2 - 100_000
    functions = seconds * 0.000026 + (5.25 + 0.05256 - 0.25) * 0.40
    assert month.functions == pytest.approx(functions)
    assert month.service_bus == pytest.approx(730 * 0.0135)
    assert cost.Month(100_000_000).service_bus == pytest.approx(
        730 * 0.0135 + 87 * 0.80 + 200 * 0.50
    )
    assert month.serverless == pytest.approx(month.million_ru * 0.25)
    assert cost.Month(cost.break_even()).serverless == pytest.approx(cost.Month(0).autoscale)
