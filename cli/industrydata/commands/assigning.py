"""`industrydata assign-earlier`: gives what earlier releases stored to the first tenant."""

from __future__ import annotations

from typing import Final

import click

from industrydata.errors import RefusedError
from industrydata.session import Session, with_session
from industrydata.text import clean, counted

_PATH: Final = "/beta/external/industryData/assignEarlierDocuments"
_MOST_REQUESTS: Final = 10_000


@click.command("assign-earlier")
@with_session
def assign_earlier(session: Session) -> None:
    """Give what releases before 1.1 stored to the first tenant of AUTH_TENANTS.

    Its requests do the same, and wait for it; run this after an upgrade, so that none has to. It
    can be interrupted and run again at any time. It ends with 1 where something cannot be assigned.
    """
    assigned = 0
    with session.output.waiting("assigning") as change:
        for _ in range(_MOST_REQUESTS):
            answer = session.service.call("POST", _PATH, repeat=True)
            assigned += int(answer.get("assigned") or 0)
            if answer.get("complete"):
                break
            change(counted(assigned, "document"))
        else:
            raise RefusedError("There is no end of documents to assign: is that the API?")
    tenant, staying = clean(answer.get("tenantId")), list(map(str, answer.get("staying") or []))
    session.output.value(
        {"tenantId": answer.get("tenantId"), "assigned": assigned, "staying": staying},
        f"{counted(assigned, 'document')} of earlier releases went to tenant {tenant}.",
    )
    if staying:
        raise RefusedError(
            f"{counted(len(staying), 'reference definition')} cannot be assigned: another one has "
            f"the code or sort index by now. {', '.join(map(clean, staying))}"
        )
