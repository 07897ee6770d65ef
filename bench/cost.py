"""What a month costs, and which limit comes first: `python -m bench.cost` prints the tables.

Every figure of docs/cost-and-scale.md comes from here, and a test compares the two. Prices are list
prices in US dollars, pay as you go, East US; they change, so check them before you rely on them.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

# --- what one create brings with it ---------------------------------------------------------------

# A flow set with all four flows and some of their history, as stored; a test measures one.
DOCUMENT_KB = 6
FLOWS_A_SET = 4
# A client asks for the flow until it is ready, and now and then afterwards.
READS_A_CREATE = 3
SETS_A_CREATE = 1 / FLOWS_A_SET
# Create flow, update readiness, and the share of creating the set.
WRITES_A_CREATE = 2 + SETS_A_CREATE
# Requests to the API, and one execution of the readiness function.
EXECUTIONS_A_CREATE = 1 + READS_A_CREATE + SETS_A_CREATE + 1
# The reconciler looks once a minute for flows that wait for too long. Every five minutes a timer
# looks into the dead-letter queue: two seconds, most of them to open and close a link.
TIMER_EXECUTIONS_A_MONTH = 730 * (60 + 12)
TIMER_SECONDS_A_MONTH = 730 * (60 + 12 * 2)
# Send, receive, complete.
QUEUE_OPERATIONS_A_CREATE = 3
# An execution leaves a request record and a log line, about 1 KB each.
LOG_KB_AN_EXECUTION = 2
# A request to Cosmos DB leaves an audit record and one of the throughput it used, about 1 KB each.
AUDIT_KB_A_STORE_REQUEST = 2
LOG_KB_A_CREATE = LOG_KB_AN_EXECUTION * EXECUTIONS_A_CREATE + AUDIT_KB_A_STORE_REQUEST * (
    WRITES_A_CREATE + READS_A_CREATE
)

# --- how the month goes ---------------------------------------------------------------------------

HOURS_A_MONTH = 730
# School hours: what comes, comes on 22 days in 10 hours, and at its peak twice as fast.
BUSY_HOURS = 220
PEAK = 2
INSTANCE_GB = 2
# What one instance does in a second: about 10 ms of CPU an execution on one core.
INSTANCE_EXECUTIONS_A_SECOND = 100
# What scales by itself: all HTTP functions together, and each queue or timer function alone.
FUNCTION_GROUPS = 5
# What the platform keeps for each group of a zone-redundant app, and bills as always ready.
ZONE_REDUNDANT_INSTANCES = 2
# Reads under Strong and BoundedStaleness cost twice what they cost under Session.
READ_FACTOR = 2
PRIVATE_ENDPOINTS = 5

# --- prices, US dollars ---------------------------------------------------------------------------

FUNCTIONS_GB_SECOND = 0.000026
FUNCTIONS_FREE_GB_SECONDS = 100_000
FUNCTIONS_MILLION = 0.40
FUNCTIONS_FREE_EXECUTIONS = 250_000
SERVERLESS_MILLION_RU = 0.25
AUTOSCALE_100_RU_HOUR = 0.012
COSMOS_GB_MONTH = 0.25
SERVICE_BUS_HOUR = 0.0135
SERVICE_BUS_STEPS = ((13e6, 0.0), (100e6, 0.80), (2500e6, 0.50), (math.inf, 0.20))
PREMIUM_UNIT_HOUR = 0.928
PRIVATE_ENDPOINT_HOUR = 0.01
ALWAYS_READY_GB_SECOND = 0.000004
LOG_GB = 2.30
LOG_FREE_GB = 5

# The default of logDailyQuotaGb in infra/main.bicep.
DAILY_QUOTA_GB = 5

# --- limits ---------------------------------------------------------------------------------------

SERVERLESS_RU_A_SECOND = 5_000
STANDARD_OPERATIONS_A_SECOND = 1_000
LOGICAL_PARTITION_RU_A_SECOND = 10_000
AUTOSCALE_LEAST_RU = 1_000

VOLUMES = {"1 thousand": 1e3, "1 million": 1e6, "100 million": 100e6}


def read_ru(kb: float) -> float:
    """RU of a point read: published are 1 for 1 KB and 10 for 100 KB; between them, a line."""
    return 1 + (10 - 1) * (kb - 1) / 99


def write_ru(kb: float) -> float:
    """RU of a write: published are 5 for 1 KB and 50 for 100 KB; between them, a line."""
    return 5 + (50 - 5) * (kb - 1) / 99


def create_ru() -> float:
    """RU of all that one create brings with it."""
    return WRITES_A_CREATE * write_ru(DOCUMENT_KB) + READS_A_CREATE * READ_FACTOR * read_ru(
        DOCUMENT_KB
    )


@dataclass(frozen=True)
class Month:
    """One month with a number of creates."""

    creates: float

    @property
    def executions(self) -> float:
        return self.creates * EXECUTIONS_A_CREATE + TIMER_EXECUTIONS_A_MONTH

    @property
    def instances(self) -> int:
        """Instances that are busy in school hours, on average."""
        rate = self.executions / (BUSY_HOURS * 3600)
        return max(1, math.ceil(rate / INSTANCE_EXECUTIONS_A_SECOND))

    @property
    def gb_seconds(self) -> float:
        """An instance is paid for while it works, a second at least; never more than always."""
        busy = min(self.creates * EXECUTIONS_A_CREATE, self.instances * BUSY_HOURS * 3600)
        return (busy + TIMER_SECONDS_A_MONTH) * INSTANCE_GB

    @property
    def functions(self) -> float:
        seconds = max(0.0, self.gb_seconds - FUNCTIONS_FREE_GB_SECONDS)
        executions = max(0.0, self.executions - FUNCTIONS_FREE_EXECUTIONS)
        return seconds * FUNCTIONS_GB_SECOND + executions / 1e6 * FUNCTIONS_MILLION

    @property
    def million_ru(self) -> float:
        return self.creates * create_ru() / 1e6

    @property
    def serverless(self) -> float:
        return self.million_ru * SERVERLESS_MILLION_RU

    @property
    def autoscale_ru(self) -> int:
        """The upper limit to set: the peak, in whole thousands."""
        peak = self.creates * create_ru() / (BUSY_HOURS * 3600) * PEAK
        return max(AUTOSCALE_LEAST_RU, math.ceil(peak / 1000) * 1000)

    @property
    def autoscale(self) -> float:
        """The limit in school hours, a tenth of it in the others."""
        hours = BUSY_HOURS + (HOURS_A_MONTH - BUSY_HOURS) / 10
        return self.autoscale_ru / 100 * AUTOSCALE_100_RU_HOUR * hours

    @property
    def stored_gb(self) -> float:
        return self.creates * SETS_A_CREATE * DOCUMENT_KB / 1e6

    @property
    def storage(self) -> float:
        return self.stored_gb * COSMOS_GB_MONTH

    @property
    def queue_operations(self) -> float:
        return self.creates * QUEUE_OPERATIONS_A_CREATE

    @property
    def service_bus(self) -> float:
        cost, below = SERVICE_BUS_HOUR * HOURS_A_MONTH, 0.0
        for limit, price in SERVICE_BUS_STEPS:
            cost += max(0.0, min(self.queue_operations, limit) - below) / 1e6 * price
            below = limit
        return cost

    @property
    def log_gb(self) -> float:
        timers = TIMER_EXECUTIONS_A_MONTH * LOG_KB_AN_EXECUTION
        return (self.creates * LOG_KB_A_CREATE + timers) / 1e6

    @property
    def logs(self) -> float:
        return max(0.0, self.log_gb - LOG_FREE_GB) * LOG_GB

    @property
    def cosmos(self) -> float:
        return min(self.serverless, self.autoscale)

    @property
    def total(self) -> float:
        return self.functions + self.cosmos + self.storage + self.service_bus + self.logs


def break_even() -> float:
    """Creates a month from which the smallest autoscale limit costs less than serverless."""
    return Month(0).autoscale / SERVERLESS_MILLION_RU * 1e6 / create_ru()


def arithmetic(month: Month) -> list[str]:
    """How the sums of one month come about."""
    return [
        f"- Functions: ({month.gb_seconds:,.0f} - {FUNCTIONS_FREE_GB_SECONDS:,}) GB-s x "
        f"${FUNCTIONS_GB_SECOND:.6f} + ({month.executions:,.0f} - {FUNCTIONS_FREE_EXECUTIONS:,}) "
        f"executions x ${FUNCTIONS_MILLION:.2f} a million = {dollars(month.functions)}",
        f"- Cosmos DB, serverless: {month.million_ru:,.3f} million RU x ${SERVERLESS_MILLION_RU} = "
        f"{dollars(month.serverless)}",
        f"- Cosmos DB, autoscale: {month.autoscale_ru:,} RU/s / 100 x ${AUTOSCALE_100_RU_HOUR} x "
        f"({BUSY_HOURS} h + {HOURS_A_MONTH - BUSY_HOURS} h / 10) = {dollars(month.autoscale)}",
        f"- Cosmos DB, new data: {month.stored_gb:,.3f} GB x ${COSMOS_GB_MONTH} = "
        f"{dollars(month.storage)}",
        f"- Service Bus, Standard: {HOURS_A_MONTH} h x ${SERVICE_BUS_HOUR}, and operations above "
        f"{SERVICE_BUS_STEPS[0][0] / 1e6:.0f} million = {dollars(month.service_bus)}",
        f"- Logs: ({month.log_gb:,.2f} - {LOG_FREE_GB}) GB x ${LOG_GB:.2f} = {dollars(month.logs)}",
    ]


def quota_creates() -> float:
    """Thousands of creates that fill the daily quota of logs."""
    return DAILY_QUOTA_GB * 1e6 / LOG_KB_A_CREATE / 1e3


def always_ready(instances: int) -> float:
    """A month of instances that wait, in dollars."""
    return instances * ALWAYS_READY_GB_SECOND * INSTANCE_GB * HOURS_A_MONTH * 3600


def fixed() -> list[tuple[str, float]]:
    """What prod.bicepparam adds to any month, whatever is done in it."""
    return [
        ("Service Bus Premium, one messaging unit", PREMIUM_UNIT_HOUR * HOURS_A_MONTH),
        ("Five private endpoints", PRIVATE_ENDPOINTS * PRIVATE_ENDPOINT_HOUR * HOURS_A_MONTH),
        (
            f"Zone redundancy, {ZONE_REDUNDANT_INSTANCES} instances for each of {FUNCTION_GROUPS} "
            "function groups, waiting",
            always_ready(ZONE_REDUNDANT_INSTANCES * FUNCTION_GROUPS),
        ),
        (
            "Autoscale limit of 4,000 RU/s, a tenth of it",
            4000 / 10 / 100 * AUTOSCALE_100_RU_HOUR * HOURS_A_MONTH,
        ),
    ]


def limits() -> list[tuple[str, float]]:
    """Creates a second that each limit allows, the lowest first."""
    # Each function group has a limit of its own: HTTP is one, the readiness function another.
    requests = EXECUTIONS_A_CREATE - 1
    found = {
        "Cosmos DB serverless, 5,000 RU/s": SERVERLESS_RU_A_SECOND / create_ru(),
        "Service Bus Standard, 1,000 operations/s": STANDARD_OPERATIONS_A_SECOND
        / QUEUE_OPERATIONS_A_CREATE,
        "HTTP, 40 instances": 40 * INSTANCE_EXECUTIONS_A_SECOND / requests,
        "HTTP, 1,000 instances": 1000 * INSTANCE_EXECUTIONS_A_SECOND / requests,
        "Readiness, 40 instances": 40 * INSTANCE_EXECUTIONS_A_SECOND,
        "One tenant, 10,000 RU/s a partition": LOGICAL_PARTITION_RU_A_SECOND / create_ru(),
    }
    return sorted(found.items(), key=lambda entry: entry[1])


def dollars(value: float) -> str:
    return f"${value:,.2f}" if value < 10 else f"${value:,.0f}"


def lines() -> list[str]:
    """The tables of the page, line by line."""
    months = [Month(creates) for creates in VOLUMES.values()]

    def row(name: str, values: list[str]) -> str:
        return f"| {name} | {' | '.join(values)} |"

    return [
        "| What a create brings | How many |",
        "|---|--:|",
        f"| Requests to the API | {EXECUTIONS_A_CREATE - 1:g} |",
        f"| Executions of functions | {EXECUTIONS_A_CREATE:g} |",
        f"| Cosmos DB writes | {WRITES_A_CREATE:g} |",
        f"| Cosmos DB reads | {READS_A_CREATE:g} |",
        f"| Service Bus operations | {QUEUE_OPERATIONS_A_CREATE:g} |",
        f"| Logs, KB | {LOG_KB_A_CREATE:g} |",
        "",
        f"RU of a read of {DOCUMENT_KB} KB: {read_ru(DOCUMENT_KB):.2f}",
        f"RU of a write of {DOCUMENT_KB} KB: {write_ru(DOCUMENT_KB):.2f}",
        f"RU of a create and all it brings: {create_ru():.1f}",
        "",
        row("Creates a month", list(VOLUMES)),
        "|---|--:|--:|--:|",
        row("Executions, millions", [f"{m.executions / 1e6:,.3f}" for m in months]),
        row("Busy instances", [f"{m.instances}" for m in months]),
        row("GB-seconds, thousands", [f"{m.gb_seconds / 1e3:,.1f}" for m in months]),
        row("Request units, millions", [f"{m.million_ru:,.3f}" for m in months]),
        row("Autoscale limit, RU/s", [f"{m.autoscale_ru:,}" for m in months]),
        row("New data, GB", [f"{m.stored_gb:,.3f}" for m in months]),
        row("Queue operations, millions", [f"{m.queue_operations / 1e6:,.3f}" for m in months]),
        row("Logs, GB", [f"{m.log_gb:,.2f}" for m in months]),
        row("Functions", [dollars(m.functions) for m in months]),
        row("Cosmos DB, serverless", [dollars(m.serverless) for m in months]),
        row("Cosmos DB, autoscale", [dollars(m.autoscale) for m in months]),
        row("Cosmos DB, new data", [dollars(m.storage) for m in months]),
        row("Service Bus, Standard", [dollars(m.service_bus) for m in months]),
        row("Logs", [dollars(m.logs) for m in months]),
        row("**Total, cheaper Cosmos DB**", [f"**{dollars(m.total)}**" for m in months]),
        "",
        f"Autoscale is cheaper from {break_even() / 1e6:.1f} million creates a month on.",
        f"{DAILY_QUOTA_GB} GB a day are used up by {quota_creates():.0f} thousand creates.",
        "",
        *arithmetic(months[1]),
        "",
        "| What prod adds | A month |",
        "|---|--:|",
        *(f"| {name} | {dollars(cost)} |" for name, cost in fixed()),
        "",
        f"One HTTP instance kept ready costs {dollars(always_ready(1))} a month.",
        "",
        "| Limit | Creates a second |",
        "|---|--:|",
        *(f"| {name} | {rate:,.0f} |" for name, rate in limits()),
    ]


def main() -> int:
    """Print the tables."""
    print("\n".join(lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
