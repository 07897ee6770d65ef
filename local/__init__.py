"""What runs the service on a laptop: a Functions host and the emulators. Never deployed."""
