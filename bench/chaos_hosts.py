"""The fault run's part about two hosts on one stack, which both take requests and messages."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.chaos_changes import survive_changes
from bench.chaos_run import AT_ONCE, BODIES, NAMES, Hop, Run, in_turns, unique_name
from bench.chaos_trouble import Action, kill
from local.components import free_ports
from local.stack import Stack


async def survive_two_hosts(
    run: Run, count: int, *, longest_pause: float = 1.0, catalog: bool = True
) -> None:
    """Send creates to both hosts at once, then change sets while one or the other is killed."""
    async with _second_host(run) as second:
        results = await in_turns(AT_ONCE, (_create_twice(run) for _ in range(count)))
        twice = sum(results)
        print(
            f"two hosts: {count} sets and flows, each created at both at once; made twice {twice}"
        )
        if twice:
            run.faults.append(f"two hosts: {twice} creates were made twice")

        async def cut() -> None:
            for hop in run.apis:
                hop.cut()

        actions: dict[str, Action] = {
            "cuts: both APIs": cut,
        }
        kills: dict[str, Action] = {
            "kills: first host": lambda: kill(run, "host", longest_pause),
            "kills: second host": lambda: kill(replace(run, stack=second), "host", longest_pause),
        }
        await survive_changes(
            run,
            count,
            actions | kills if catalog else actions,
            "two hosts",
            longest_pause=longest_pause,
            catalog=catalog,
        )


@contextlib.asynccontextmanager
async def _second_host(run: Run) -> AsyncIterator[Stack]:
    """Run another host on the same emulators, with the same settings."""
    [port] = free_ports(1)
    with TemporaryDirectory(prefix="chaos-") as folder:
        config = replace(run.stack.config, functions_port=port, local_state=Path(folder))
        settings: Mapping[str, str] = run.settings
        second = Stack(config, names={"host"}, host_settings=settings, say=lambda _: None)
        hop = Hop(port)
        await hop.open()
        await asyncio.to_thread(second.__enter__)
        run.also.append(hop)
        try:
            yield second
        finally:
            run.also.remove(hop)
            hop.close()
            await asyncio.to_thread(second.close)


async def _create_twice(run: Run) -> int:
    """Create a set and a flow by two equal requests each, at both hosts; 1 where two were made."""
    first, second = run.apis
    name = {"displayName": unique_name()}
    sets = await _at_both(run, first, second, run.sets(), name)
    run.named |= sets
    url = run.sets(min(sets), "provisioningFlows")
    flows = await _at_both(run, first, second, url, BODIES[run.chance.choice(NAMES)])
    return int(len(sets) + len(flows) != 2)


async def _at_both(run: Run, first: Hop, second: Hop, url: str, body: object) -> set[str]:
    """The ids that two equal requests at once are answered with."""
    request_id = str(uuid.uuid4())
    answers = await asyncio.gather(
        *(
            replace(run, api=hop, also=[]).send(
                "POST",
                url.replace(f":{run.api.port}/", f":{hop.port}/"),
                body,
                **{"client-request-id": request_id},
            )
            for hop in (first, second)
        )
    )
    for answer in answers:
        if answer.status != 201:
            run.faults.append(f"a create at both hosts was answered {answer.status}")
    return {str(answer.body["id"]) for answer in answers if answer.status == 201}
