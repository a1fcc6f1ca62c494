/** Tests of `lib/commands/doctor/ask_resolver.ts`: what comes of a question to a resolver. */
import { createSocket } from "node:dgram";
import { assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";
import { ask, outcomeOf } from "../../../../lib/commands/doctor/ask_resolver.ts";

const ID = 0x1234;

function answer(flags: number, id = ID): Uint8Array {
  const message = new Uint8Array(12);
  const view = new DataView(message.buffer);
  view.setUint16(0, id);
  view.setUint16(2, flags);
  return message;
}

Deno.test("outcomeOf() takes no such name for an answer, a server's failure for none, and no other's", () => {
  assertEquals(outcomeOf(answer(0x8180), ID), "answered");
  assertEquals(outcomeOf(answer(0x8183), ID), "answered");
  assertEquals(outcomeOf(answer(0x8182), ID), "failing");
  assertEquals(outcomeOf(answer(0x8185), ID), "failing");
  assertEquals(outcomeOf(answer(0x0100), ID), null);
  assertEquals(outcomeOf(answer(0x8180, ID + 1), ID), null);
  assertEquals(outcomeOf(new Uint8Array(11), ID), null);
});

hostTest("ask() tells a resolver that answers from a port that nobody listens at", async () => {
  const socket = createSocket("udp4", (query, from) => {
    query[2] = 0x81;
    socket.send(query, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  assertEquals(await ask("example.org", { server: "127.0.0.1", port }), "answered");
  await new Promise<void>((resolve) => socket.close(resolve));
  assertEquals(await ask("example.org", { server: "127.0.0.1", port }), "refused");
  assertEquals(await ask("example.org", { server: "resolver.example", port }), null);
});

hostTest("ask() asks a resolver of IPv6 as well", async () => {
  const codes = [0x80, 0x82];
  const socket = createSocket("udp6", (query, from) => {
    query[2] = 0x81;
    query[3] = codes.shift()!;
    socket.send(query, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "::1", resolve));
  const { port } = socket.address();
  assertEquals(await ask("example.org", { server: "::1", port }), "answered");
  assertEquals(await ask("example.org", { server: "::1", port }), "failing");
  await new Promise<void>((resolve) => socket.close(resolve));
  assertEquals(await ask("example.org", { server: "::1", port }), "silent");
});
