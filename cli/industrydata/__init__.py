"""The operator's command for a self-hosted industryData provisioning service.

It knows the service by its contract on the wire only: the HTTP API, and the events on the readiness
queue.
"""

__version__ = "1.0.0"
