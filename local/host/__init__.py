"""A small Functions host for the developer's machine: it runs the app's own functions."""
