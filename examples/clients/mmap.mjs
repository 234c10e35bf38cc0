// The commands of the module for node-redis, in the way it takes modules; values are typed arrays.
//
//     import { createMmapClient } from "./mmap.mjs";
//     const client = await createMmapClient({ url: "redis://localhost" }).connect();
//     await client.mmap.vaddraw("prices", Float64Array.of(9.99, 12.5));
//     await client.mmap.vgetraw("prices", 0, -1, Float64Array);     // Float64Array [9.99, 12.5]
//
// It needs the package @redis/client. Run as a program it tests itself:
//
//     npm install --prefix examples/clients
//     node examples/clients/mmap.mjs port [2|3]        (the version of RESP)

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { RESP_TYPES, createClient } from "@redis/client";

/** @typedef {string | Buffer} Key */
/** @typedef {Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | BigInt64Array | BigUint64Array | Float32Array | Float64Array} Values */
/** @typedef {new (buffer: ArrayBuffer) => Values} ValuesType */

/** One word, whatever it is. */
const word = (value) => (Buffer.isBuffer(value) ? value : String(value));
/** The bytes of a typed array, without a copy. Machines of other byte order than the file's (little-endian) there are none in Node. */
const bytes = (values) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

/** A command whose words follow its key, and whose reply is left as it is. */
const command = (name, readOnly, words, transformReply) => ({
  IS_READ_ONLY: readOnly,
  parseCommand(parser, key, ...rest) {
    parser.push(name);
    parser.pushKey(key);
    parser.push(...words(...rest).map(word));
    // What transformReply needs to know of the call.
    parser.preserve = rest;
  },
  transformReply,
});

/** A number in RESP2 is text, a `uint64` above 2^63 - 1 a BigInt or text: `Number` where that is exact. */
const number = (reply) => {
  if (reply === null || typeof reply === "number") return reply;
  const text = reply.toString();
  return /^[-+]?\d+$/.test(text) && !Number.isSafeInteger(Number(text))
    ? BigInt(text)
    : Number(text.replace(/inf$/, "Infinity"));
};
const numbers = (reply) => reply.map(number);

export const mmap = {
  /** @type {(key: Key, path: string, type?: string, options?: { size?: number, writable?: boolean }) => Promise<number>} */
  mmap: command("MMAP", false, (path, type, { size, writable = type === undefined } = {}) =>
    [path, type, size, type !== undefined && writable ? "WRITABLE" : undefined].filter((each) => each !== undefined)),
  /** @type {(key: Key, values: Values) => Promise<number>} The values have the type of the array. */
  vaddraw: command("VADDRAW", false, (values) => [bytes(values)]),
  /** @type {(key: Key, start: number, stop: number, type: ValuesType) => Promise<Values>} Both ends are included. */
  vgetraw: command("VGETRAW", true, (start, stop) => [start, stop], (reply, [, , Type]) =>
    // A copy, whose place in memory suits the type.
    new Type(new Uint8Array(reply).buffer)),
  /** @type {(key: Key, index: number, values: Values) => Promise<number>} */
  vsetraw: command("VSETRAW", false, (index, values) => [index, bytes(values)]),
  /** @type {(key: Key, ...values: (number | bigint | string)[]) => Promise<number>} */
  vpush: command("VPUSH", false, (...values) => values),
  /** @type {(key: Key, index: number) => Promise<number | bigint | null>} Of an array of numbers. */
  vget: command("VGET", true, (index) => [index], number),
  /** @type {(key: Key, ...indices: number[]) => Promise<(number | bigint | null)[]>} Of an array of numbers. */
  vmget: command("VMGET", true, (...indices) => indices, numbers),
  /** @type {(key: Key) => Promise<number>} */
  vsize: command("VSIZE", true, () => []),
  /** @type {(key: Key, start: number, stop: number, ...ops: string[]) => Promise<(number | bigint | null)[]>} */
  vagg: command("VAGG", true, (...words) => words, numbers),
  /** @type {(key: Key, start: number, stop: number, n: number, ...ops: string[]) => Promise<(number | bigint | null)[][]>} */
  vbuckets: command("VBUCKETS", true, (...words) => words, (reply) => reply.map(numbers)),
  /** @type {(key: Key, start: number, stop: number, ...conditions: (string | number)[]) => Promise<number[]>} */
  vfind: command("VFIND", true, (...words) => words),
  /** @type {(key: Key) => Promise<number>} */
  vclear: command("VCLEAR", false, () => []),
};

/** A client with `client.mmap`. Strings come as Buffers: values are bytes, and text would not bring them back. */
export function createMmapClient(options = {}) {
  const typeMapping = { [RESP_TYPES.BLOB_STRING]: Buffer, [RESP_TYPES.DOUBLE]: String, [RESP_TYPES.BIG_NUMBER]: String };
  return createClient({ ...options, modules: { ...options.modules, mmap }, commandOptions: { typeMapping } });
}

async function test(port, protocol) {
  const client = createMmapClient({ socket: { host: "127.0.0.1", port }, RESP: protocol });
  client.on("error", (error) => console.error(error));
  await client.connect();
  const [key, file] = [`mmap-mjs-${protocol}`, `mmap-mjs-${protocol}`];
  await client.mmap.mmap(key, file);
  await client.mmap.vclear(key);
  const values = Float64Array.of(0.1, -0, NaN, Infinity, 1e300);
  assert.equal(await client.mmap.vaddraw(key, values.subarray(1)), 4);
  assert.deepEqual(await client.mmap.vgetraw(key, 0, -1, Float64Array), values.slice(1));
  assert.equal(await client.mmap.vsetraw(key, 0, Float64Array.of(0.1)), 1);
  assert.equal(await client.mmap.vpush(key, 2.5, 7), 2);
  assert.equal(await client.mmap.vget(key, 0), 0.1);
  assert.equal(await client.mmap.vget(key, 99), null);
  assert.deepEqual(await client.mmap.vmget(key, 2, 1, 3, 99), [Infinity, NaN, 1e300, null]);
  assert.deepEqual(await client.mmap.vagg(key, 4, -1, "COUNT", "SUM"), [2, 9.5]);
  assert.deepEqual(await client.mmap.vbuckets(key, 4, 5, 2, "MAX"), [[2.5], [7]]);
  assert.deepEqual(await client.mmap.vfind(key, 0, -1, ">", 1, "LIMIT", 2), [2, 3]);
  assert.equal(await client.mmap.vsize(key), 6);
  await assert.rejects(client.mmap.vaddraw(key, Uint8Array.of(1)), /bytes long/);
  await client.mmap.vclear(key);
  await client.del(key);
  await client.mmap.mmap(key, `${file}.u64`, "uint64", { writable: true });
  await client.mmap.vaddraw(key, BigUint64Array.of(2n ** 64n - 1n, 5n));
  assert.deepEqual(await client.mmap.vmget(key, 0, 1), [2n ** 64n - 1n, 5]);
  await client.mmap.vclear(key);
  await client.del(key);
  await client.close();
  console.log(`mmap.mjs, RESP${protocol}: as expected`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await test(Number(process.argv[2]), Number(process.argv[3] ?? 2));
}
