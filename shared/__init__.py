"""What the handlers call: rules, contract, use cases, adapters. Azure Functions is unknown here."""
