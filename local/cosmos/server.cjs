'use strict';

const http = require('node:http');

const HOST = '127.0.0.1';

function argument(name, fallback) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : process.argv[at + 1];
}

let packageServer;
try {
  packageServer = require('@vercel/cosmosdb-server').createHttpServer({ keepAlive: true });
} catch (error) {
  if (error.code !== 'MODULE_NOT_FOUND') throw error;
  process.stderr.write('The Cosmos DB emulator needs its packages: run `npm ci --prefix local` first.\n');
  process.exit(2);
}

const [handle] = packageServer.listeners('request');
packageServer.removeAllListeners('request');
packageServer.on('request', (req, res) => {
  // The package answers 500 for a missing item on the other branch of its read handler.
  if (req.method === 'GET' && req.url.includes('/docs/')) {
    req.headers['x-ms-documentdb-query-enablecrosspartition'] = 'true';
  }
  handle(req, res);
});
packageServer.on('error', (error) => {
  process.stderr.write(`The Cosmos DB emulator cannot listen on ${HOST}: ${error.message}.\n`);
  process.exit(2);
});
packageServer.listen(Number(argument('port', '8081')), HOST, () => {
  process.stdout.write(`Cosmos DB emulator listening on ${HOST}:${packageServer.address().port}\n`);
});
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => process.exit(0));
}
