"""What a command writes: text and tables for people, or JSON, a value a line, for scripts.

Results go to standard output, everything else to standard error. Colours and anything that moves
are for a terminal only; NO_COLOR turns colours off.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from industrydata.errors import PIPE_CLOSED
from industrydata.text import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

STYLES: Final = {
    "ready": "green",
    "notReady": "yellow",
    "failed": "red",
    "expired": "magenta",
    "disabled": "bright_black",
    "ok": "green",
    "wrong": "red",
    "unknown": "yellow",
    "healthy": "green",
    "failing": "yellow",
    "paused": "red",
}
# Where nothing is cut to a terminal's width, so that a script finds whole lines.
_WIDE: Final = 100_000


class Output:
    """Writes results in the form that was asked for."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def value(self, value: Any, *text: str | Text) -> None:
        """Write a result: as JSON on one line, or as the text for people, if there is any."""
        if self.as_json:
            _write(json.dumps(value, ensure_ascii=False))
        elif text:
            self.say(*text)

    def whole(self, value: Any) -> None:
        """Write a JSON value, for people over several lines."""
        if self.as_json:
            self.value(value)
        else:
            _write(json.dumps(value, ensure_ascii=False, indent=2))

    def say(self, *text: str | Text) -> None:
        """Write a line to standard output, for people only."""
        if not self.as_json:
            from rich.text import Text

            _print(Text.assemble(*text))

    def note(self, text: str) -> None:
        """Write a line about the work itself to standard error."""
        click.echo(text, err=True)

    def table(
        self,
        columns: Sequence[str],
        values: Iterable[Any],
        row: Callable[[Any], Sequence[str | Text]],
    ) -> int:
        """Write values as a table with a row each, or as JSON lines; return how many there were."""
        if self.as_json:
            number = 0
            for value in values:
                self.value(value)
                number += 1
            return number
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
        for name in columns:
            table.add_column(name, no_wrap=True, overflow="ignore")
        for value in values:
            table.add_row(*(_cell(each) for each in row(value)))
        if table.row_count:
            _print(table)
        return table.row_count

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show on a terminal what is waited for; yields a function that changes the text."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _: None
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(text), spinner="dots") as status:
            yield lambda changed: status.update(Text(changed))


def status_text(status: object) -> Text:
    """Return a status in its colour."""
    from rich.text import Text

    text = clean(status)
    return Text(text, style=STYLES.get(text, ""))


def _cell(content: str | Text) -> Text:
    from rich.text import Text

    return content if isinstance(content, Text) else Text(clean(content))


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=_WIDE, soft_wrap=True)


def _print(what: Any) -> None:
    console = _console()
    with console.capture() as captured:
        console.print(what)
    _write("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _write(text: str) -> None:
    """Write a line to standard output; ends the command quietly where its reader has gone."""
    try:
        # A file of an unusual encoding must not end a command half-way.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        print(text, flush=True)
    except BrokenPipeError:
        # What is still buffered would be written, and fail again, at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(PIPE_CLOSED) from None
