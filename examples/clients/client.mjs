// Sends each command of table.json with node-redis and compares the replies.
//
//     npm install --prefix examples/clients
//     node examples/clients/client.mjs port 2|3 [tag]        (the version of RESP)
//
// With a hash tag it is a Cluster's client: it sends the rows of cluster.json, once for each line that it gets, and says when
// it has.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { RESP_TYPES, createClient, createCluster } from "@redis/client";

const [port, protocol] = process.argv.slice(2, 4).map(Number);
const tag = process.argv[4];

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

// node-redis' own parser of doubles is inexact where there are 17 digits, as Redis 7.0 writes them; Number is exact.
const typeMapping = { [RESP_TYPES.BLOB_STRING]: Buffer, [RESP_TYPES.MAP]: Map, [RESP_TYPES.DOUBLE]: String };
const server = { socket: { host: "127.0.0.1", port } };
const client = tag
  ? createCluster({ rootNodes: [server], RESP: protocol })
  : createClient({ ...server, RESP: protocol });
client.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
await client.connect();

function send(words) {
  return tag
    ? client.sendCommand(words[1], false, words, { typeMapping })
    : client.sendCommand(words, { typeMapping });
}

const text = readFileSync(new URL(tag ? "cluster.json" : "table.json", import.meta.url), "utf8");
const rows = JSON.parse(text.replaceAll("{run}", `node-${protocol}`).replaceAll("{tag}", `{${tag}}`));
let failures = 0;

async function sendAll() {
  for (const row of rows) {
    const reply = await send(row.command.map((word) => Buffer.from(word, "latin1"))).catch((error) => error);
    if (!matches(row.reply, reply)) {
      failures += 1;
      console.log(row.command, "\n  expected", JSON.stringify(row.reply), "\n  got     ", reply);
    }
  }
}

let done = `${new Set(rows.map((row) => row.command[0])).size} commands`;
if (tag) {
  let rounds = 0;
  for await (const _ of createInterface({ input: process.stdin })) {
    await sendAll();
    rounds += 1;
    console.log("round");
  }
  done = `a cluster, ${rounds} rounds`;
} else {
  await sendAll();
}
const { version } = JSON.parse(readFileSync(new URL("node_modules/@redis/client/package.json", import.meta.url)));
console.log(`node-redis ${version}, RESP${protocol}: ${done}, ${failures} failures`);
await client.close();
process.exit(failures === 0 ? 0 : 1);
