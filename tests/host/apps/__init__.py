"""Small function apps that the tests of the local host run."""
