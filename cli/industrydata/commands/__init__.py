"""The sub-commands, one module a noun."""
