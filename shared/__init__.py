"""What the doors call: schemas, rules, storage, messages. Knows nothing of Azure Functions."""
