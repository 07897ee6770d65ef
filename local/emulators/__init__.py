"""Emulators of what the app uses in Azure; each serves real SDKs on 127.0.0.1."""
