"""Where the local stack listens and keeps its state, and the settings that follow from both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

# The keys are the published constants of the emulators; they open nothing outside this machine.
COSMOS_EMULATOR_KEY = (
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="
)
AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

SERVICE_BUS_KEY_NAME, SERVICE_BUS_KEY = "RootManageSharedAccessKey", "SAS_KEY_VALUE"
SERVICE_BUS_CREDENTIALS = (
    f"SharedAccessKeyName={SERVICE_BUS_KEY_NAME};SharedAccessKey={SERVICE_BUS_KEY};"
    "UseDevelopmentEmulator=true"
)

COSMOS_DATABASE = "industryData"
READINESS_QUEUE = "readiness"

_PORT = re.compile(r"[0-9]{1,5}")


class LocalConfigError(Exception):
    """Ports or folders given to the local stack cannot be used; the text names every one."""


@dataclass(frozen=True)
class LocalConfig:
    """The ports and the state folder of one local stack.

    Each field is set by the environment variable of the same name in upper case.
    """

    functions_port: int = 7071
    issuer_port: int = 7072
    cosmos_port: int = 8081
    service_bus_port: int = 5672
    azurite_blob_port: int = 10000
    azurite_queue_port: int = 10001
    azurite_table_port: int = 10002
    local_state: Path = ROOT / ".local"

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> LocalConfig:
        """Build from environment variables; raises LocalConfigError that lists every fault."""
        values: dict[str, int | Path] = {}
        faults: list[str] = []
        for field in fields(cls):
            name = field.name.upper()
            text = environ.get(name, "").strip()
            if not text:
                continue
            if field.name == "local_state":
                values[field.name] = Path(text).resolve()
                if Path(text).exists() and not Path(text).is_dir():
                    faults.append(f"{name}={text!r} is not a folder: name one, or omit it.")
            elif _PORT.fullmatch(text) and 0 < int(text) < 65536:
                values[field.name] = int(text)
            else:
                faults.append(f"{name}={text!r} is not a port: give a number from 1 to 65535.")
        config = cls(**values)  # type: ignore[arg-type]  # each value was checked for its field
        taken: dict[int, str] = {}
        for name, port in config.ports().items():
            if port in taken:
                faults.append(f"{name} and {taken[port]} are both {port}: give each its own port.")
            taken.setdefault(port, name)
        if faults:
            raise LocalConfigError(" ".join(faults))
        return config

    def ports(self) -> dict[str, int]:
        """Every port by the name of the variable that sets it."""
        return {
            field.name.upper(): getattr(self, field.name)
            for field in fields(self)
            if field.name.endswith("_port")
        }

    @property
    def api(self) -> str:
        """The service root a Graph client is pointed at, without a trailing slash."""
        return f"http://{HOST}:{self.functions_port}/beta"

    @property
    def issuer(self) -> str:
        """The base URL of the local token issuer, which takes the place of Entra ID."""
        return f"http://{HOST}:{self.issuer_port}"

    @property
    def cosmos_endpoint(self) -> str:
        """The Cosmos DB emulator's base URL."""
        return f"http://{HOST}:{self.cosmos_port}"

    @property
    def service_bus_connection(self) -> str:
        """The connection string of the Service Bus emulator."""
        return f"Endpoint=sb://{HOST}:{self.service_bus_port};{SERVICE_BUS_CREDENTIALS}"

    @property
    def storage_connection(self) -> str:
        """The connection string of Azurite."""
        services = {
            "BlobEndpoint": self.azurite_blob_port,
            "QueueEndpoint": self.azurite_queue_port,
            "TableEndpoint": self.azurite_table_port,
        }
        endpoints = "".join(
            f"{name}=http://{HOST}:{port}/devstoreaccount1;" for name, port in services.items()
        )
        return (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};"
            f"{endpoints}"
        )

    def app_settings(self) -> dict[str, str]:
        """The app settings whose values depend on where the emulators listen."""
        return {
            "AzureWebJobsStorage": self.storage_connection,
            "ServiceBus": self.service_bus_connection,
            "COSMOS_ENDPOINT": self.cosmos_endpoint,
            "AUTH_AUTHORITY": self.issuer,
        }

    def overrides(self) -> dict[str, str]:
        """The app settings that ports other than the defaults change.

        Given to the host in its environment they win over local.settings.json, which was made for
        the default ports. At the default ports there are none: an edit of that file counts.
        """
        usual = LocalConfig().app_settings()
        return {name: value for name, value in self.app_settings().items() if value != usual[name]}
