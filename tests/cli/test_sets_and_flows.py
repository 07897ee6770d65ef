"""`industrydata sets` and `industrydata flows`: what an operator does with them."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from tests.cli.conftest import Command, example, never_ready
from tests.support.api import UNKNOWN, Api

FOUR = [example(name) for name in ("user", "class_group", "security_group", "administrative_unit")]
KINDS = ["administrativeUnit", "classGroup", "securityGroup", "user"]


def folder_of(tmp_path: Path, *files: str, **more: str) -> Path:
    """A folder with copies of files, and with others of the text that is given."""
    folder = tmp_path / "flows"
    folder.mkdir()
    for file in files:
        (folder / Path(file).name).write_bytes(Path(file).read_bytes())
    for name, text in more.items():
        (folder / f"{name}.json").write_text(text, "utf-8")
    return folder


def kinds_in(command: Command, set_id: str) -> list[str]:
    found = command.ok("sets", "show", set_id, "--json").value()["provisioningFlows"]
    return sorted(each["@odata.type"].rpartition(".")[2] for each in found)


# --- sets ---------------------------------------------------------------------------------------


def test_a_set_is_created_shown_renamed_and_deleted(command: Command, name: str) -> None:
    set_id = command.ok("sets", "create", name).out.strip()
    shown = command.ok("sets", "show", set_id).out
    assert shown.startswith(f"{name}\nid        {set_id}\n")
    assert shown.endswith("It has no flows.\n")
    command.ok("sets", "update", set_id, "--name", f"{name} anew")
    assert command.ok("sets", "show", set_id, "--json").value()["displayName"] == f"{name} anew"
    assert command.ok("sets", "delete", set_id, "--yes").out == f"Deleted flow set {set_id}.\n"
    gone = command.run("sets", "show", set_id)
    assert (gone.code, gone.out) == (1, "")
    assert gone.err.startswith(f"Resource '{set_id}' does not exist")
    assert "`industrydata sets list`" in gone.err


def test_a_set_is_changed_by_what_a_file_says(command: Command, cli_set: str, name: str) -> None:
    body = json.dumps({"displayName": f"{name} by file"})
    command.ok("sets", "update", cli_set, "--file", "-", stdin=body)
    shown = command.ok("sets", "show", cli_set, "--json").value()
    assert shown["displayName"] == f"{name} by file"


def test_sets_are_listed_with_the_readiness_of_their_flows(
    command: Command, cli_set: str, name: str
) -> None:
    command.ok("flows", "create", *FOUR[2:], "--set", cli_set, "--watch")
    header, row = command.ok("sets", "list", "--search", name).out.splitlines()
    assert header.split() == ["ID", "FLOWS", "NAME"]
    assert row == f"{cli_set}  2 ready  {name}"
    [listed] = command.ok("sets", "list", "--search", name, "--json").values()
    assert len(listed["provisioningFlows"]) == 2


def test_only_sets_with_a_flow_of_a_readiness_are_listed(
    command: Command, cli_set: str, name: str
) -> None:
    command.ok("flows", "create", FOUR[2], "--set", cli_set, "--watch")
    listed = command.ok("sets", "list", "--search", name, "--status", "failed")
    assert listed.out == "No flow set was found.\n"
    assert len(command.ok("sets", "list", "--status", "ready", "--json").values()) >= 1


async def test_all_pages_are_listed_unless_a_limit_is_given(
    command: Command, service: Api, name: str
) -> None:
    # A page has 100 entries.
    await asyncio.gather(*(service.new_set(f"{name} {number}") for number in range(101)))
    assert len(command.ok("sets", "list", "--search", name, "--json").values()) == 101
    limited = command.ok("sets", "list", "--search", name, "--limit", "3", "--json").values()
    assert len(limited) == 3


def test_a_set_is_not_deleted_without_a_confirmation(command: Command, cli_set: str) -> None:
    refused = command.run("sets", "delete", cli_set)
    assert (refused.code, refused.out) == (2, "")
    assert "give --yes" in refused.err
    command.ok("sets", "show", cli_set)


def test_a_wrong_id_among_others_deletes_nothing(command: Command, cli_set: str) -> None:
    assert command.run("sets", "delete", cli_set, UNKNOWN, "--yes").code == 1
    command.ok("sets", "show", cli_set)


# --- creating flows -----------------------------------------------------------------------------


def test_flows_are_created_from_a_folder_and_watched_until_ready(
    command: Command, name: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, *FOUR)
    (folder / "notes.txt").write_text("not a flow")
    ran = command.ok("flows", "create", str(folder), "--new-set", name, "--watch")
    created = [line for line in ran.out.splitlines() if line.startswith("Created ")]
    assert len(created) == 5
    last = {line.split()[0]: line.split()[1] for line in ran.out.splitlines()[5:]}
    assert last == dict.fromkeys(KINDS, "ready")


def test_a_flow_is_created_from_standard_input(command: Command, cli_set: str) -> None:
    body = "\ufeff" + Path(FOUR[2]).read_text("utf-8")
    created = command.ok("flows", "create", "-", "--set", cli_set, "--json", stdin=body).value()
    shown = command.ok("flows", "show", cli_set, "securityGroup", "--json").value()
    assert shown["id"] == created["id"]


def test_a_script_gets_one_json_value_a_line(command: Command, name: str) -> None:
    ran = command.ok("flows", "create", FOUR[2], "--new-set", name, "--watch", "--json")
    flow_set, created, *changes = ran.values()
    assert flow_set["displayName"] == name
    assert {change["id"] for change in changes} == {created["id"]}
    assert changes[-1]["readinessStatus"] == "ready"


REFUSED = json.dumps({"@odata.type": "#microsoft.graph.industryData.userProvisioningFlow", "x": 1})


def test_a_refused_file_leaves_nothing_in_the_set(
    command: Command, cli_set: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, FOUR[2], FOUR[3], z_user=REFUSED)
    ran = command.run("flows", "create", str(folder), "--set", cli_set)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"{folder / 'z_user.json'}: ")
    assert "  $.x: " in ran.err
    assert "Nothing is left of what was created before it." in ran.err
    assert kinds_in(command, cli_set) == []


def test_a_refused_file_leaves_no_new_set(command: Command, name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, FOUR[2], z_user=REFUSED)
    assert command.run("flows", "create", str(folder), "--new-set", name).code == 1
    assert command.ok("sets", "list", "--search", name, "--json").values() == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is not JSON: "),
        ("[]", "is not a JSON object."),
        ("[" * 100_000, "is nested too deep."),
        ('{"displayName": "x"}', "is not a flow: its @odata.type is null"),
        (" " * 1_100_000, "is larger than 1048576 bytes"),
    ],
    ids=["half", "a list", "deep", "no flow", "large"],
)
def test_nothing_is_created_when_one_file_cannot_be_read(
    command: Command, name: str, tmp_path: Path, text: str, why: str
) -> None:
    folder = folder_of(tmp_path, FOUR[2], wrong=text)
    ran = command.run("flows", "create", str(folder), "--new-set", name)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"{folder / 'wrong.json'} {why}")
    assert ran.err.endswith("\nNothing was sent.\n")
    assert command.ok("sets", "list", "--search", name, "--json").values() == []


def test_two_files_of_one_kind_are_named(command: Command, name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, FOUR[2], again=Path(FOUR[2]).read_text("utf-8"))
    ran = command.run("flows", "create", str(folder), "--new-set", name)
    assert ran.code == 2
    assert "again.json and " in ran.err
    assert "are both securityGroup flows" in ran.err


def test_a_kind_that_the_set_has_is_named_before_anything_is_created(
    command: Command, cli_set: str
) -> None:
    there = command.ok("flows", "create", FOUR[2], "--set", cli_set, "--json").value()["id"]
    ran = command.run("flows", "create", FOUR[3], FOUR[2], "--set", cli_set)
    assert ran.code == 1
    assert f"already has a flow of the kind securityGroup, {there}." in ran.err
    assert kinds_in(command, cli_set) == ["securityGroupProvisioningFlow"]


# --- flows --------------------------------------------------------------------------------------


def test_flows_are_listed_of_one_set_and_of_all(command: Command, cli_set: str, name: str) -> None:
    command.ok("flows", "create", *FOUR[2:], "--set", cli_set, "--watch")
    rows = command.ok("flows", "list", cli_set).out.splitlines()
    assert rows[0].split() == ["KIND", "READINESS", "CHANGED", "ID"]
    assert sorted(row.split()[0] for row in rows[1:]) == ["administrativeUnit", "securityGroup"]
    arguments = ["--search", name, "--kind", "securityGroup"]
    _, row = command.ok("flows", "list", *arguments).out.splitlines()
    assert row.endswith(f"{cli_set}  {name}")
    found = command.ok("flows", "list", *arguments, "--status", "ready", "--json").value()
    assert found["flowSetId"] == cli_set
    assert command.ok("flows", "list", *arguments, "--status", "failed", "--json").out == ""


def test_a_flow_is_shown_with_its_readiness_and_reason(
    command: Command, cli_set: str, tmp_path: Path
) -> None:
    assert command.run("flows", "create", never_ready(tmp_path), "--set", cli_set).code == 0
    command.run("flows", "watch", cli_set)
    first, status, reason, *rest = command.ok("flows", "show", cli_set, "user").out.splitlines()
    assert first.startswith("user  ")
    assert status.startswith("failed  since 20")
    assert reason.startswith("createUnmatchedUsers needs creationOptions")
    assert json.loads("\n".join(rest))["readinessStatus"] == "failed"


def test_a_flow_is_updated_by_a_file_and_has_a_history(
    command: Command, cli_set: str, tmp_path: Path
) -> None:
    failing = command.run("flows", "create", never_ready(tmp_path), "--set", cli_set, "--watch")
    assert failing.code == 1
    assert failing.err.startswith("user is failed: createUnmatchedUsers needs creationOptions")
    mend = json.dumps({"createUnmatchedUsers": False})
    ran = command.ok("flows", "update", cli_set, "user", "-", "--watch", stdin=mend)
    assert ran.out.startswith("Changed user flow ")
    rows = command.ok("flows", "history", cli_set, "user").out.splitlines()
    assert [row.split()[1] for row in rows[1:]] == ["ready", "notReady", "failed", "notReady"]


def test_flows_are_reset_and_deleted(command: Command, cli_set: str) -> None:
    command.ok("flows", "create", *FOUR[2:], "--set", cli_set, "--watch")
    assert command.run("flows", "reset", cli_set).code == 2
    ran = command.ok("flows", "reset", cli_set, "--all", "--watch")
    assert ran.out.count("Reset ") == 2
    assert ran.out.count(" ready ") == 2
    ran = command.ok("flows", "delete", cli_set, "securityGroup", "--yes")
    assert ran.out.startswith("Deleted securityGroup flow ")
    assert kinds_in(command, cli_set) == ["administrativeUnitProvisioningFlow"]


def test_a_flow_that_is_not_there_is_named_with_those_that_are(
    command: Command, cli_set: str
) -> None:
    command.ok("flows", "create", FOUR[2], "--set", cli_set)
    ran = command.run("flows", "show", cli_set, "user")
    assert ran.code == 1
    assert ran.err.startswith(f"Flow set {cli_set} has no flow 'user'. Its flows: securityGroup (")
    ran = command.run("flows", "watch", cli_set, "user")
    assert ran.err == f"Flow set {cli_set} has no flow user.\n"


def test_an_empty_set_is_never_ready(command: Command, cli_set: str) -> None:
    ran = command.run("flows", "watch", cli_set)
    assert (ran.code, ran.err) == (1, f"Flow set {cli_set} has no flows.\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["sets", "show", "7"], "'7' is not an id"),
        (["flows", "show", UNKNOWN, "users"], "is neither a flow's id nor one of user, "),
        (["flows", "create", "-", "--set", UNKNOWN, "--new-set", "x"], "one of the two"),
        (["flows", "watch", UNKNOWN, "--timeout", "0"], "--timeout"),
        (["flows", "create", "/no/such/file", "--set", UNKNOWN], "cannot be read: No such file"),
        (["flows", "reset", UNKNOWN, "user", "--all"], "or give --all"),
        (["sets", "list", "--limit", "0"], "--limit"),
        (["delete-everything"], "No such command"),
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_sent(
    command: Command, arguments: list[str], why: str
) -> None:
    ran = command.run(*arguments, SERVICE_ROOT="http://127.0.0.1:9/beta")
    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err


def test_names_of_sets_cannot_write_to_the_terminal(command: Command) -> None:
    name = f"bell [red]x[/red] {uuid.uuid4()}"
    set_id = command.ok("sets", "create", name).out.strip()
    assert command.ok("sets", "show", set_id).out.startswith(f"{name}\n")
