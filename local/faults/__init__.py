"""Faults on request, for authors of clients: a part of the local host, never deployed."""
