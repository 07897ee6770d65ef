"""The doors: HTTP operations and triggers, one file a noun. They parse, call one thing, answer."""
