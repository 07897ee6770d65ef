"""`industrydata completion`: what a shell needs to complete the command's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from industrydata.errors import UsageError

_NAME = "industrydata"
_VARIABLE = "_INDUSTRYDATA_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash  eval "$(industrydata completion bash)"           in ~/.bashrc
    zsh   eval "$(industrydata completion zsh)"            in ~/.zshrc
    fish  industrydata completion fish | source            in ~/.config/fish/config.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"There is no completion for {shell}.")
    command = click.get_current_context().find_root().command
    # Only bash is asked for its version, on standard error.
    click.echo(found(command, {}, _NAME, _VARIABLE).source())
