// Prism in one process: for each line of standard input, a port and an OpenAPI file, it serves that file on that port,
// in place of the one before, and prints the line. `prism mock` would load Prism once for each file, which takes minutes.
"use strict";

const { createRequire } = require("node:module");
const readline = require("node:readline");
const load = createRequire(`${process.env.CLIENT_MODULES}/`);
const { createLogger } = load("@stoplight/prism-core");
const { getHttpOperationsFromSpec } = load("@stoplight/prism-http");
const { createServer } = load("@stoplight/prism-http-server");

// As `prism mock` has it, but without judging its own answers.
const config = {
  validateRequest: true,
  validateResponse: false,
  checkSecurity: true,
  errors: false,
  isProxy: false,
  mock: { dynamic: false, ignoreExamples: false },
};
const logger = createLogger("Prism", { level: "silent" });

async function main() {
  const servers = new Map();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [port, document] = line.split(" ");
    await servers.get(port)?.close();
    const server = createServer(await getHttpOperationsFromSpec(document), { cors: true, config, components: { logger } });
    await server.listen(Number(port), "127.0.0.1");
    servers.set(port, server);
    console.log(line);
  }
  process.exit();
}

main();
