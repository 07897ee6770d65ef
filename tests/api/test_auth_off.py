"""AUTH_MODE=off in a host process of its own: open on this machine, shut in Azure."""

from __future__ import annotations

from pathlib import Path

from local.stack import Stack
from tests.support.api import Api, assert_envelope
from tests.support.hosts import host
from tests.support.waiting import until


async def assert_shut(api: Api, token: str) -> None:
    """Neither without a token nor with a good one is anything answered."""
    for header in ("", f"Bearer {token}"):
        answer = await api.get(api.sets, authorization=header)
        assert_envelope(answer, 500, "InternalServerError")
        assert "AUTH" not in answer.text


async def test_turned_off_on_this_machine_the_app_serves_without_a_token(
    stack: Stack, tmp_path: Path
) -> None:
    async with host(stack, tmp_path, AUTH_MODE="off") as (api, _):
        set_id = await api.new_set()
        assert (await api.get(api.set(set_id))).status == 200
        # No header is looked at, be it ever so wrong.
        assert (await api.get(api.set(set_id), authorization="Bearer x")).status == 200


async def test_turned_off_in_azure_the_app_serves_no_caller(
    stack: Stack, tmp_path: Path, token: str
) -> None:
    async with host(stack, tmp_path, AUTH_MODE="off", WEBSITE_SKU="FlexConsumption") as (api, log):
        await assert_shut(api, token)
        health = await api.get(api.root.removesuffix("beta") + "health")
        assert health.status == 503
        assert health.json()["dependencies"]["settings"]["status"] == "wrong"

        async def is_logged() -> bool:
            return "Remove AUTH_MODE=off" in log.read_text("utf-8")

        await until(is_logged, "the log says what to remove")


async def test_without_a_setting_for_tokens_the_app_serves_no_caller(
    stack: Stack, tmp_path: Path, token: str
) -> None:
    async with host(stack, tmp_path, AUTH_TENANTS="") as (api, _):
        await assert_shut(api, token)
