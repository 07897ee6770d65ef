"""The alerts in the plan: for each thing that goes wrong, measured so that it is noticed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.infra.plan import ENVIRONMENTS, ROOT, Plan, read

METRIC = "Microsoft.Insights/metricAlerts"
LOG = "Microsoft.Insights/scheduledQueryRules"

# Name: metric, dimension, aggregation, threshold, window, severity.
METRICS = {
    "dead-letters-left": (
        *("DeadletteredMessages", ("EntityName", ["readiness", "notifications"])),
        *("Minimum", 0, "PT15M", 1),
    ),
    "queue-age": (
        *("ActiveMessages", ("EntityName", ["readiness", "notifications"])),
        *("Minimum", 0, "PT15M", 1),
    ),
    "queue-backlog": (
        *("ActiveMessages", ("EntityName", ["readiness"])),
        *("Average", 1000, "PT15M", 2),
    ),
    "cosmos-throttling": (
        *("TotalRequests", ("StatusCode", ["429"])),
        *("Count", 50, "PT15M", 2),
    ),
}
# Name: column, operator, threshold, window, frequency, severity, resolves by itself.
LOGS = {
    "dead-letters": ("letters", "GreaterThan", 0, "PT15M", "PT5M", 1, True),
    "store-refused": ("refusals", "GreaterThan", 0, "PT15M", "PT5M", 1, True),
    "missed-notifications": ("missed", "GreaterThan", 0, "PT15M", "PT5M", 2, True),
    "late-events": ("minutes", "GreaterThan", 10, "PT15M", "PT5M", 2, True),
    "server-errors": ("percent", "GreaterThan", 2, "PT15M", "PT5M", 1, True),
    "slow-answers": ("p95", "GreaterThan", 2000, "PT15M", "PT5M", 2, True),
    "nothing-runs": ("runs", "LessThan", 1, "PT1H", "PT5M", 1, True),
    "key-ring-expires": ("secrets", "GreaterThan", 0, "P1D", "P1D", 2, False),
}


def named(made: Plan, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all alerts of a kind, by the first part of their names."""
    return {
        alert["name"].removesuffix(f"-{made.base}"): alert["properties"] for alert in made.of(kind)
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_metric_alerts_are_these(environment: str) -> None:
    made = read(environment)
    found = {}
    for name, alert in named(made, METRIC).items():
        (criterion,) = alert["criteria"]["allOf"]
        (dimension,) = criterion["dimensions"]
        assert criterion["criterionType"] == "StaticThresholdCriterion"
        assert criterion["operator"] == "GreaterThan"
        assert dimension["operator"] == "Include"
        (scope,) = alert["scopes"]
        assert f"/providers/{criterion['metricNamespace']}/" in scope
        assert (alert["evaluationFrequency"], alert["autoMitigate"]) == ("PT5M", True)
        found[name] = (
            criterion["metricName"],
            (dimension["name"], dimension["values"]),
            criterion["timeAggregation"],
            criterion["threshold"],
            alert["windowSize"],
            alert["severity"],
        )
    assert found == METRICS


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_log_alerts_are_these(environment: str) -> None:
    made = read(environment)
    workspace = made.one("Microsoft.OperationalInsights/workspaces")["id"]
    found = {}
    for name, alert in named(made, LOG).items():
        (criterion,) = alert["criteria"]["allOf"]
        assert alert["scopes"] == [workspace]
        assert criterion["timeAggregation"] == "Maximum"
        assert criterion["failingPeriods"] == {
            "numberOfEvaluationPeriods": 1,
            "minFailingPeriodsToAlert": 1,
        }
        # A new workspace has no such table yet.
        assert alert["skipQueryValidation"] is True
        found[name] = (
            criterion["metricMeasureColumn"],
            criterion["operator"],
            criterion["threshold"],
            alert["windowSize"],
            alert["evaluationFrequency"],
            alert["severity"],
            alert["autoMitigate"],
        )
    assert found == LOGS


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_alert_is_on_and_says_what_to_do_and_what_no_data_means(environment: str) -> None:
    made = read(environment)
    for name, alert in {**named(made, METRIC), **named(made, LOG)}.items():
        assert alert["enabled"] is True
        first, _, no_data = alert["description"].partition(" No data")
        assert first.endswith((".", "?")), name
        assert no_data.endswith("."), name


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_alert_reaches_the_operator(environment: str) -> None:
    made = read(environment)
    group = made.one("Microsoft.Insights/actionGroups")
    (receiver,) = group["properties"]["emailReceivers"]
    assert receiver["emailAddress"] == "operator@example.com"
    assert group["properties"]["enabled"] is True
    assert len(group["properties"]["groupShortName"]) <= 12
    for alert in named(made, METRIC).values():
        assert alert["actions"] == [{"actionGroupId": group["id"]}]
    for alert in named(made, LOG).values():
        assert alert["actions"] == {"actionGroups": [group["id"]]}


def test_an_hour_without_any_run_is_noticed_though_nothing_is_logged_then() -> None:
    """Without a "by", summarize returns one row for no rows; a timer runs every minute."""
    alert = named(read("prod"), LOG)["nothing-runs"]
    assert alert["criteria"]["allOf"][0]["query"] == "AppRequests | summarize runs = count()"
    source = "\n".join(p.read_text("utf-8") for p in (ROOT / "functions").rglob("*.py"))
    assert re.search(r"timer_trigger\([^)]*schedule=\"0 \* \* \* \* \*\"", source)


def test_the_alert_on_age_needs_no_metric_that_may_have_no_data() -> None:
    """CompleteMessage has none while nothing is completed, which is when the alert must fire."""
    for alert in named(read("prod"), METRIC).values():
        metrics = [criterion["metricName"] for criterion in alert["criteria"]["allOf"]]
        assert "CompleteMessage" not in metrics


# --- the audit log --------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_an_auditor_needs_is_sent_to_the_workspace(environment: str) -> None:
    made = read(environment)
    workspace = made.one("Microsoft.OperationalInsights/workspaces")
    found = {}
    for setting in made.of("Microsoft.Insights/diagnosticSettings"):
        values = setting["properties"]
        assert values["workspaceId"] == workspace["id"]
        assert all(log["enabled"] for log in values["logs"])
        on = setting["id"].partition("/providers/")[2].partition("/providers/")[0]
        found[made.plain(on.partition("/")[2])] = [log["category"] for log in values["logs"]]
    blobs = ["StorageRead", "StorageWrite", "StorageDelete"]
    premium = ["RuntimeAuditLogs"] if environment == "prod" else []
    vault = made.one("Microsoft.KeyVault/vaults")["name"]
    assert found == {
        "databaseAccounts/cosmos-*": [
            "DataPlaneRequests",
            "ControlPlaneRequests",
            "PartitionKeyRUConsumption",
        ],
        f"vaults/{vault}": ["AuditEvent"],
        "namespaces/sb-*": ["OperationalLogs", "DiagnosticErrorLogs", *premium],
        "storageAccounts/*/blobServices/default": blobs,
        "storageAccounts/*pkg/blobServices/default": blobs,
    }


@pytest.mark.parametrize(
    ("environment", "days", "quota"), [("dev", 30, 1), ("prod", 90, 20)], ids=ENVIRONMENTS
)
def test_logs_are_kept_as_long_as_the_page_says(environment: str, days: int, quota: int) -> None:
    workspace = read(environment).one("Microsoft.OperationalInsights/workspaces")["properties"]
    assert workspace["retentionInDays"] == days
    assert workspace["workspaceCapping"] == {"dailyQuotaGb": quota}
    page = (ROOT / "docs/deploy.md").read_text("utf-8")
    assert f"{days} days" in page


def test_a_deleted_vault_of_prod_can_be_had_back_for_90_days() -> None:
    vaults = {
        each: read(each).one("Microsoft.KeyVault/vaults")["properties"] for each in ENVIRONMENTS
    }
    assert [vaults[each]["softDeleteRetentionInDays"] for each in ENVIRONMENTS] == [7, 90]
    assert [vaults[each]["enablePurgeProtection"] for each in ENVIRONMENTS] == [None, True]
