"""The Cosmos DB emulator of the local stack: a launcher in Node and the containers it is given."""
