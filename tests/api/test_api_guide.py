"""Every row of docs/api.md, sent to the service: its status, and the words in the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from local.config import ROOT
from tests.support.api import Api
from tests.support.bodies import NAMES

GUIDE = (ROOT / "docs" / "api.md").read_text("utf-8").partition("## What requests may say")[2]
TYPE = "microsoft.graph.industryData."
_ROW = re.compile(r"^\| `(.+)` \| (\d{3}) \| `(.+)` \|$", re.MULTILINE)
ROWS = _ROW.findall(GUIDE)


@dataclass(frozen=True)
class Stored:
    """The set that the guide speaks of."""

    set_id: str
    user_flow: str

    def named(self, text: str) -> str:
        """A text with ids and the namespace for what stands for them."""
        for short, whole in (("{set}", self.set_id), ("{user}", self.user_flow)):
            text = text.replace(short, whole)
        return re.sub(r"(?<![\w.])T\.(?=[a-z])", TYPE, text)


@pytest.fixture(scope="module")
async def stored(service: Api) -> Stored:
    organisations = {
        "@odata.type": f"#{TYPE}basicFilter",
        "attribute": "orgExternalId",
        "in": ["10", "20"],
    }
    body = {"displayName": "Contoso guide", "filter": organisations}
    set_id = (await service.post(service.sets, body)).json()["id"]
    await service.new_set("Contoso guide's neighbour")
    ids = [(await service.create(set_id, name)).json()["id"] for name in NAMES]
    return Stored(set_id, ids[NAMES.index("user")])


def test_every_line_of_the_tables_is_a_row() -> None:
    lines = [line for line in GUIDE.splitlines() if line.startswith("| `")]
    assert len(ROWS) == len(lines) > 70
    assert len({request for request, _, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("request_", "status", "words"), ROWS, ids=[row[0] for row in ROWS])
async def test_a_row_is_answered_as_it_says(
    service: Api, stored: Stored, request_: str, status: str, words: str
) -> None:
    path, _, query = stored.named(request_).partition("?")
    host = service.root.removesuffix("/beta")
    url = f"{host}{path}" if path.startswith("/") else f"{service.industry_data}/{path}"
    answer = await service.get(f"{url}?{quote(query, safe='=&')}" if query else url)
    assert answer.status == int(status), answer.text
    assert stored.named(words) in answer.text
