"""Tests of clients that generators make from the description of the API."""
