"""What ends a command early: each error is a sentence for a person and an exit code for a script.

CommandError
    RefusedError        1  the service refused a request, or something did not become what it should
        NotFoundError   1  there is no such thing
    UsageError          2  the command line, the environment or a file is wrong; nothing was sent
    SignInError         3  there is no token, it is not accepted, or it lacks the permission
    UnreachableError    4  the service or the queue does not answer
"""

from __future__ import annotations

from typing import ClassVar, Final

DONE: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 130
# What a shell reports of a program that wrote into a closed pipe.
PIPE_CLOSED: Final = 141


class CommandError(Exception):
    """A command cannot do what it should; the text says why and what to do next."""

    exit_code: ClassVar[int] = FAILED


class RefusedError(CommandError):
    """The service refused a request, or something did not become what it should."""


class NotFoundError(RefusedError):
    """What a request names does not exist."""


class UsageError(CommandError):
    """The command line, the environment or a file is wrong; nothing was sent."""

    exit_code = 2


class SignInError(CommandError):
    """There is no access token, it is not accepted, or it lacks the permission."""

    exit_code = 3


class UnreachableError(CommandError):
    """The service or the queue does not answer."""

    exit_code = 4
