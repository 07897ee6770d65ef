"""Tests against the real SDKs and the local stack, which they start themselves."""
