"""The command `industrydata`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from industrydata import __version__
from industrydata.commands.assigning import assign_earlier
from industrydata.commands.completion import completion
from industrydata.commands.dead_letters import dead_letters
from industrydata.commands.doctor import doctor
from industrydata.commands.flows import flows
from industrydata.commands.passwords import passwords
from industrydata.commands.reporting import report
from industrydata.commands.sets import sets
from industrydata.commands.subscriptions import subscriptions
from industrydata.errors import FAILED, INTERRUPTED, CommandError
from industrydata.session import Session
from industrydata.text import short

EXIT_CODES = """\b
Exit codes:
  0    done
  1    refused, not found, not ready, or not all done
  2    used in a wrong way; nothing was sent
  3    no access token, or one without the permission
  4    the service or the queue does not answer
  130  interrupted
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES,
)
@click.version_option(__version__, prog_name="industrydata")
@click.option("--url", metavar="URL", help="The service root, such as https://HOST/beta.")
@click.option("--azd", "use_azd", is_flag=True, help="Use what `azd env get-values` prints here.")
@click.pass_context
def main_group(context: click.Context, url: str | None, use_azd: bool) -> None:
    """Work with flow sets and flows of an industryData provisioning service.

    Without --url, --azd and SERVICE_ROOT it is the local stack of the checkout around this folder.
    The token is INDUSTRYDATA_TOKEN, else that of the local stack or of the Azure CLI.
    """
    context.obj = Session(url, use_azd)


for command in (
    sets,
    flows,
    report,
    dead_letters,
    passwords,
    subscriptions,
    assign_earlier,
    doctor,
    completion,
):
    main_group.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process with its exit code."""
    sys.exit(_code(arguments))


def _code(arguments: Sequence[str] | None) -> int:
    try:
        ended: Any = main_group.main(arguments, prog_name="industrydata", standalone_mode=False)
    except CommandError as error:
        return _fail(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _fail("Interrupted.", INTERRUPTED)
    except Exception as error:
        if os.environ.get("INDUSTRYDATA_DEBUG"):
            raise
        return _fail(
            f"This is a fault of the command: {type(error).__name__}: {short(error)}. With "
            "INDUSTRYDATA_DEBUG=1 it shows where.",
            FAILED,
        )
    return ended if isinstance(ended, int) else 0


def _fail(text: str, code: int) -> int:
    click.echo(text, err=True)
    return code


if __name__ == "__main__":
    main()
