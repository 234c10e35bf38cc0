// Sends each command of table.json with node-redis and compares the replies.
//
// usage: node client.mjs port 2|3        (the version of RESP)

import { readFileSync } from "node:fs";
import { RESP_TYPES, createClient } from "@redis/client";

const [port, protocol] = process.argv.slice(2).map(Number);

function matches(expected, reply) {
  if (Array.isArray(expected)) {
    return (
      Array.isArray(reply) && reply.length === expected.length && expected.every((e, i) => matches(e, reply[i]))
    );
  }
  if (typeof expected === "string") {
    return textOf(reply) === expected;
  }
  if (expected === null || typeof expected === "number") {
    return reply === expected;
  }
  const [[kind, value]] = Object.entries(expected);
  switch (kind) {
    case "any":
      return true;
    case "error":
      return reply instanceof Error && reply.message.includes(value);
    case "double":
      return protocol === 2
        ? textOf(reply) === value
        : typeof reply === "string" && Object.is(numberOf(reply), numberOf(value));
    case "big":
      return protocol === 2 ? textOf(reply) === value : reply === BigInt(value);
    case "map":
      return isMap(value, reply);
    default:
      throw new Error(`the table has an unknown kind of reply, ${kind}`);
  }
}

function isMap(expected, reply) {
  const pairs = new Map();
  const flat = Array.isArray(reply) ? reply : [...reply.entries()].flat();
  for (let i = 0; i < flat.length; i += 2) {
    pairs.set(textOf(flat[i]), flat[i + 1]);
  }
  const isOfProtocol = Array.isArray(reply) === (protocol === 2);
  const names = Object.keys(expected);
  return (
    isOfProtocol && pairs.size === names.length && names.every((name) => matches(expected[name], pairs.get(name)))
  );
}

function numberOf(text) {
  return Number(text.replace("inf", "Infinity"));
}

// A simple string comes as text, a bulk string as bytes.
function textOf(reply) {
  return Buffer.isBuffer(reply) ? reply.toString("latin1") : reply;
}

const client = createClient({ socket: { port }, RESP: protocol });
client.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
await client.connect();
// node-redis' own parser of doubles is inexact where there are 17 digits, as Redis 7.0 writes them; Number is exact.
const typeMapping = { [RESP_TYPES.BLOB_STRING]: Buffer, [RESP_TYPES.MAP]: Map, [RESP_TYPES.DOUBLE]: String };

const table = readFileSync(new URL("table.json", import.meta.url), "utf8").replaceAll("{run}", `node-${protocol}`);
const used = new Set();
let failures = 0;
for (const row of JSON.parse(table)) {
  used.add(row.command[0]);
  const words = row.command.map((word) => Buffer.from(word, "latin1"));
  const reply = await client.sendCommand(words, { typeMapping }).catch((error) => error);
  if (!matches(row.reply, reply)) {
    failures += 1;
    console.log(row.command, "\n  expected", JSON.stringify(row.reply), "\n  got     ", reply);
  }
}
const { version } = JSON.parse(readFileSync(new URL("node_modules/@redis/client/package.json", import.meta.url)));
console.log(`node-redis ${version}, RESP${protocol}: ${used.size} commands, ${failures} failures`);
await client.close();
process.exit(failures === 0 ? 0 : 1);
