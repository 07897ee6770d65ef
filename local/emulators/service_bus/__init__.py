"""A Service Bus emulator for this machine: queues over AMQP 1.0, kept in one SQLite file."""
