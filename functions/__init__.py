"""Handlers: HTTP operations and triggers. They read, call one use case, answer."""
