"""What the service is measured against, written as its own users would write it."""
