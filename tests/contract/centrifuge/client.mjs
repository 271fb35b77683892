// The JavaScript client, told what to do in lines of JSON on stdin; what happens goes to stdout.
import { createInterface } from "node:readline";
import { Centrifuge as Json } from "centrifuge";
import { Centrifuge as Protobuf } from "centrifuge/build/protobuf";
import WebSocket from "ws";

const [, , codec, url] = process.argv;
const binary = codec === "protobuf";
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const pack = (value) => (binary ? new TextEncoder().encode(JSON.stringify(value)) : value);
const unpack = (data) => (binary ? JSON.parse(new TextDecoder().decode(data)) : data);
let client;

const told = (pub) => ({ data: unpack(pub.data), offset: pub.offset, tags: pub.tags ?? {} });
const entered = (ctx) => ({
  channel: ctx.channel,
  was_recovering: ctx.wasRecovering,
  recovered: ctx.recovered,
});

const doing = {
  connect({ token, tokens }) {
    const next = async () => {
      say({ event: "token" });
      return tokens.length > 1 ? tokens.shift() : tokens[0];
    };
    client = new (binary ? Protobuf : Json)(url, {
      websocket: WebSocket,
      token,
      ...(tokens.length ? { getToken: next } : {}),
      minReconnectDelay: 20,
      maxReconnectDelay: 200,
    });
    client.on("connected", (ctx) => say({ event: "connected", client: ctx.client }));
    client.on("connecting", (ctx) => say({ event: "connecting", code: ctx.code }));
    client.on("disconnected", (ctx) => say({ event: "disconnected", code: ctx.code }));
    client.on("message", (ctx) => say({ event: "message", data: unpack(ctx.data) }));
    client.on("subscribed", (ctx) => say({ event: "subscribed", ...entered(ctx) }));
    client.on("publication", (ctx) =>
      say({ event: "publication", channel: ctx.channel, ...told(ctx) }),
    );
    client.connect();
  },
  subscribe({ channel, token }) {
    const sub = client.newSubscription(channel, token ? { token } : {});
    sub.on("subscribed", (ctx) => say({ event: "subscribed", ...entered(ctx) }));
    sub.on("unsubscribed", (ctx) => say({ event: "unsubscribed", channel, code: ctx.code }));
    sub.on("publication", (ctx) => say({ event: "publication", channel, ...told(ctx) }));
    sub.subscribe();
  },
  unsubscribe({ channel }) {
    client.getSubscription(channel).unsubscribe();
  },
  async rpc({ method, data }) {
    return unpack((await client.rpc(method, pack(data))).data);
  },
  async publish({ channel, data }) {
    await client.publish(channel, pack(data));
    return {};
  },
  async history({ channel, limit }) {
    const past = await client.history(channel, { limit });
    return { epoch: past.epoch, offset: past.offset, publications: past.publications.map(told) };
  },
  async presence({ channel }) {
    const { clients } = await client.presence(channel);
    return Object.values(clients).map((one) => one.user);
  },
  async presence_stats({ channel }) {
    const { numClients, numUsers } = await client.presenceStats(channel);
    return { clients: numClients, users: numUsers };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, op, ...given } = JSON.parse(line);
  Promise.resolve()
    .then(() => doing[op](given))
    .then((answer) => say({ event: "answer", id, answer: answer ?? null }))
    .catch((error) => say({ event: "answer", id, code: error.code, message: String(error.message) }));
}
client?.disconnect();
