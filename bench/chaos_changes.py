"""The fault run's part about changes of all kinds: of sets, flows, role groups and roles."""

from __future__ import annotations

import asyncio
import copy
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.chaos_events import REPORTED
from bench.chaos_judge import Engine, Expected, read_set, report, settle
from bench.chaos_run import AT_ONCE, BODIES, KINDS, NAMES, Answer, Run, in_turns, unique_name
from bench.chaos_trouble import Action, Trouble

OPERATIONS = ("change", "change", "change", "reset", "report", "report", "recreate", "rename")
STEPS_A_SET = 12
# Roles that the flows map and that are disabled and enabled meanwhile.
ROLES = ("proctor", "teacherAssistant")
GROUP_ROLES = ("teacher", *ROLES)
_MOST_TRIES = 20


@dataclass(frozen=True)
class Step:
    """One thing done to a set: what, to the flow of which name, and by which chance."""

    operation: str
    name: str
    seed: int


class Changes:
    """Clients that change sets, an engine that reports, and an administrator of the catalog."""

    def __init__(self, run: Run, groups: list[str]) -> None:
        self._run = run
        self._groups = groups
        self.engine = Engine(run)
        self.expected = Expected()
        self.done: Counter[str] = Counter()

    async def live(self, steps: list[Step], *, delete: bool) -> None:
        """Create a set with flows, do one step after the other, and perhaps delete it all."""
        run = self._run
        set_id = await run.new_set()
        self.expected.flows[set_id] = {}
        for name in NAMES:
            await self._create(set_id, name, random.Random(name))  # noqa: S311 - no secret
        for step in steps:
            chance = random.Random(step.seed)  # noqa: S311 - no secret
            await getattr(self, f"_{step.operation}")(set_id, step.name, chance)
            self.done[step.operation] += 1
        if delete:
            self._must(await run.send("DELETE", run.sets(set_id)), 404)
            del self.expected.flows[set_id]
            run.named.discard(set_id)
            self.done["delete a set"] += 1

    async def administer(self, chance: random.Random, over: asyncio.Event) -> None:
        """Change role groups and roles until it is over, at least once each."""
        run = self._run
        for number in range(10_000):
            if over.is_set() and number >= len(ROLES) + 1:
                return
            if number % 3 == 2:
                codes = chance.sample(GROUP_ROLES, chance.randint(1, len(GROUP_ROLES)))
                group = chance.choice(self._groups[:2])
                body: dict[str, Any] = {"roles": [{"code": code} for code in codes]}
                answer = await run.send("PATCH", run.url("roleGroups", group), body)
                self.done["change a role group"] += 1
            else:
                role = run.url("referenceDefinitions", f"RefRole-{ROLES[number % 3]}")
                body = {"isDisabled": chance.random() < 0.5}
                answer = await run.send("PATCH", role, body)
                self.done["change a role"] += 1
            self._must(answer)
            if number == len(ROLES):
                url = run.url("roleGroups", self._groups[2])
                self._must(await run.send("DELETE", url), 404)
                self.done["delete a role group"] += 1
            await asyncio.sleep(chance.uniform(0.5, 2.0))

    async def _create(self, set_id: str, name: str, chance: random.Random) -> bool:
        run = self._run
        body = BODIES[name] | _variant(name, chance, ["staff"])
        answer = await run.send("POST", run.sets(set_id, "provisioningFlows"), body)
        if self._must(answer):
            self.expected.flows[set_id][name] = answer.body["id"]
        return answer.tries == 1

    async def _change(self, set_id: str, name: str, chance: random.Random) -> None:
        """PATCH a flow with If-Match, until that is answered for the version it was made from."""
        run = self._run
        flow_id = self.expected.flows[set_id][name]
        url = run.sets(set_id, "provisioningFlows", flow_id)
        body = _variant(name, chance, ["staff", *self._groups])
        for _ in range(_MOST_TRIES):
            # Only answers with full metadata have the ETag.
            read = await run.send("GET", url, Accept="application/json;odata.metadata=full")
            answer = await run.send("PATCH", url, body, **{"If-Match": str(read.etag)})
            if answer.status != 412:
                break
        # 400: of a role group that was deleted.
        if self._must(answer, *([400] if self._groups[2] in str(body) else [])):
            flow = (await read_set(run, set_id))["flows"][KINDS[name]]
            self.expected.configurations[flow_id] = flow["configuration"]

    async def _reset(self, set_id: str, name: str, chance: random.Random) -> None:
        flow_id = self.expected.flows[set_id][name]
        url = self._run.sets(set_id, "provisioningFlows", flow_id, "reset")
        self._must(await self._run.send("POST", url))

    async def _report(self, set_id: str, name: str, chance: random.Random) -> None:
        flow = (await read_set(self._run, set_id))["flows"][KINDS[name]]
        status = chance.choice(REPORTED)
        await self.engine.report(set_id, KINDS[name], flow["id"], status, flow["revision"])

    async def _recreate(self, set_id: str, name: str, chance: random.Random) -> None:
        flow_id = self.expected.flows[set_id].pop(name)
        url = self._run.sets(set_id, "provisioningFlows", flow_id)
        self._must(await self._run.send("DELETE", url), 404)
        await self._create(set_id, name, chance)

    async def _rename(self, set_id: str, name: str, chance: random.Random) -> None:
        body = {"displayName": unique_name()}
        self._must(await self._run.send("PATCH", self._run.sets(set_id), body))

    def _must(self, answer: Answer, *others: int) -> bool:
        """Whether a request was done; note an answer that says otherwise, unless by `others`."""
        done = answer.status < 300
        if not done and answer.status not in others:
            self._run.faults.append(f"a request was answered {answer.status}: {answer.body}"[:300])
        return done


def _variant(name: str, chance: random.Random, groups: list[str]) -> dict[str, Any]:
    """A change of a flow that may make its check end otherwise."""
    if name == "class_group":
        body = copy.deepcopy(BODIES[name]["configuration"])
        codes = chance.sample(GROUP_ROLES, chance.randint(0, len(GROUP_ROLES)))
        body["enrollmentMappings"]["ownerEnrollmentMappings"] = [{"code": code} for code in codes]
        body["enrollmentMappings"]["memberEnrollmentMappings"] = [{"code": "student"}]
        return {"configuration": body}
    if name == "user":
        body = copy.deepcopy(BODIES[name]["creationOptions"])
        entry = body["configurations"][0]
        root, _, _ = entry["roleGroup@odata.bind"].rpartition("/")
        entry["roleGroup@odata.bind"] = f"{root}/{chance.choice(groups)}"
        entry["defaultPasswordSettings"]["password"] = f"{chance.getrandbits(64):x}-Aa"
        return {"creationOptions": {**body, "configurations": [entry]}}
    second = "createBasedOnOrg" if name == "administrative_unit" else "createBasedOnRoleGroup"
    names = (second, "createBasedOnOrgPlusRoleGroup")
    return {"creationOptions": {each: chance.random() < 0.6 for each in names}}


async def survive_changes(
    run: Run,
    count: int,
    actions: Mapping[str, Action],
    title: str = "changes",
    *,
    longest_pause: float = 1.0,
    catalog: bool = True,
) -> None:
    """Change `count` sets and the catalog amid trouble; each flow ends as the rules say."""
    began = time.monotonic()
    groups = [await _new_group(run) for _ in range(3)]
    changes = Changes(run, groups)
    work = [
        [
            Step(
                run.chance.choice(OPERATIONS), run.chance.choice(NAMES), run.chance.getrandbits(32)
            )
            for _ in range(STEPS_A_SET if catalog else 3)
        ]
        for _ in range(count)
    ]
    seed = run.chance.getrandbits(32)
    over = asyncio.Event()
    async with Trouble(run, actions, longest_pause) as trouble:
        if catalog:
            chance = random.Random(seed)  # noqa: S311 - no secret
            administering = asyncio.create_task(changes.administer(chance, over))
        await in_turns(
            2 * AT_ONCE,
            (changes.live(steps, delete=place % 10 == 9) for place, steps in enumerate(work)),
        )
        over.set()
        if catalog:
            await administering
    took = time.monotonic() - began
    verdict = await settle(run, changes.engine, changes.expected, to_the_end=catalog)
    done = ", ".join(f"{name} {number}" for name, number in sorted(changes.done.items()))
    report(
        run,
        f"{title}: {count} sets in {took:.0f} s, at rest after {time.monotonic() - began:.0f} s",
        (done, str(trouble)),
        verdict,
    )
    if catalog:
        await _enable_roles(run)


async def _new_group(run: Run) -> str:
    body = {"displayName": "Helpers", "roles": [{"code": code} for code in GROUP_ROLES]}
    answer = await run.send("POST", run.url("roleGroups"), body)
    if answer.status != 201:
        raise RuntimeError(f"a role group was answered {answer.status}: {answer.body}")
    return str(answer.body["id"])


async def _enable_roles(run: Run) -> None:
    """Leave the catalog to the next part as it was."""
    for role in ROLES:
        url = run.url("referenceDefinitions", f"RefRole-{role}")
        await run.send("PATCH", url, {"isDisabled": False})
