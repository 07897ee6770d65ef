"""`industrydata passwords`: the key that stored passwords are sealed with."""

from __future__ import annotations

from typing import Any, Final

import click

from industrydata.errors import RefusedError
from industrydata.session import Session, one_of_each, with_session
from industrydata.text import clean, counted

MAX_BATCH: Final = 100
_PASSES: Final = 3
_PATH: Final = "/beta/external/industryData/resealPasswords"


class Rotation:
    """Goes through all flow sets, some a request, and counts what was sealed anew."""

    def __init__(self, session: Session, batch: int, key: str | None) -> None:
        self._session = session
        self._batch = batch
        self.key = key
        self.flows = 0
        self.passwords = 0
        self.after = ""

    @property
    def count(self) -> str:
        """How far it is, in words."""
        return f"{counted(self.passwords, 'password')} of {counted(self.flows, 'flow')}"

    def run(self, dry_run: bool) -> list[dict[str, Any]]:
        """Go through all sets once; return the flows whose passwords no key opens."""
        unreadable: list[dict[str, Any]] = []
        seen: set[str] = set()
        self.after = ""
        with self._session.output.waiting("looking for passwords") as change:
            while self.after not in seen:
                seen.add(self.after)
                body = {"top": self._batch, "dryRun": dry_run, "keyId": self.key}
                body["after"] = self.after or None
                given = {name: value for name, value in body.items() if value is not None}
                answer = self._session.service.post(_PATH, given, repeat=True)
                # Every request must meet an instance with the same key.
                self.key = str(answer.get("keyId"))
                self.flows += int(answer.get("flows") or 0)
                self.passwords += int(answer.get("passwords") or 0)
                unreadable += answer.get("unreadable") or []
                change(f"{self.count}, up to flow set {clean(answer.get('after') or 'the last')}")
                if answer.get("after") is None:
                    return unreadable
                self.after = str(answer["after"])
        raise RefusedError("The service names the same flow set again: is that the API?")


@click.group()
def passwords() -> None:
    """Seal stored passwords with the newest key."""


@passwords.command("rotate")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@click.option("--key", metavar="ID", help="The key that must seal. [default: the service's newest]")
@click.option(
    "--batch",
    type=click.IntRange(1, MAX_BATCH),
    default=MAX_BATCH,
    show_default=True,
    metavar="N",
    help="How many flow sets a request.",
)
@with_session
def rotate(session: Session, dry_run: bool, key: str | None, batch: int) -> None:
    """Seal stored passwords with the newest key of PASSWORD_KEYS, while the service runs.

    It can be interrupted and run again at any time: nothing is ever half done. It ends with 1 where
    a password is left that no key opens.
    """
    rotation = Rotation(session, batch, key)
    try:
        unreadable = rotation.run(dry_run)
        left = 0
        if not dry_run:
            # A flow that was changed in between may have been stored with its former seal.
            for _ in range(_PASSES):
                again = Rotation(session, batch, rotation.key)
                unreadable = again.run(dry_run=True)
                left = again.passwords
                if not left:
                    break
                rotation.run(dry_run=False)
    except (KeyboardInterrupt, RefusedError):
        session.output.note(
            f"Ended early, after {rotation.count}. Nothing is half done: run the same command "
            "again, and it goes on."
        )
        raise
    _show(session, rotation, unreadable, left, dry_run)


def _show(
    session: Session, rotation: Rotation, unreadable: list[dict[str, Any]], left: int, dry_run: bool
) -> None:
    what = "would be" if dry_run else "were"
    session.output.value(
        {
            "keyId": rotation.key,
            "dryRun": dry_run,
            "flows": rotation.flows,
            "passwords": rotation.passwords,
            "left": left,
            "unreadable": unreadable,
        },
        f"{rotation.count} {what} sealed with the key '{clean(rotation.key)}'.",
    )
    lines = [
        f"Flow {clean(each.get('flowId'))} of set {clean(each.get('flowSetId'))} stays as it is: "
        f"{clean(each.get('why'))}"
        for each in unreadable
    ]
    if left:
        lines.append(f"{left} are left: they change all the time. Run the command again.")
    if lines:
        raise RefusedError("\n".join(one_of_each(lines)))
