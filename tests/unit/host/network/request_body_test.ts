/** Shows that a request's body is taken as it comes, however it comes, and no more of it kept than is allowed. */
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { requestBody } from "../../../../lib/host/network/request_body.ts";
import { assertEquals } from "../../../support/assert.ts";

/** Comes in chunks of a byte each, of which the parser hands on many at once. */
function bytes(message: IncomingMessage, count: number): void {
  for (let i = 0; i < count; i++) message.push(Uint8Array.of(0x61));
}

Deno.test("a body is taken as it comes: nothing of it waits in the stream", async () => {
  const message = new IncomingMessage(new Socket());
  const body = requestBody(message, 1_000);
  bytes(message, 1_000);
  assertEquals(message.readableLength, 0);
  message.push(null);
  assertEquals(await body, new Uint8Array(1_000).fill(0x61));
});

Deno.test("one that comes in more than 1,024 pieces ends its connection, whatever it says of its length", async () => {
  for (const limit of [0, 10_000]) {
    const message = new IncomingMessage(new Socket());
    const body = requestBody(message, limit);
    bytes(message, 1_024);
    assertEquals(message.destroyed, false);
    bytes(message, 1);
    assertEquals(message.destroyed, true);
    assertEquals(await body, limit === 0 ? "too-large" : "gone");
  }
});

Deno.test("of one that is too long, what comes then does not wait in the stream either", async () => {
  const message = new IncomingMessage(new Socket());
  const body = requestBody(message, 10);
  bytes(message, 11);
  assertEquals(await body, "too-large");
  bytes(message, 900);
  assertEquals(message.readableLength, 0);
});

Deno.test("nor of one that says so before", async () => {
  const message = new IncomingMessage(new Socket());
  message.headers["content-length"] = "11";
  const body = requestBody(message, 10);
  bytes(message, 11);
  assertEquals(message.readableLength, 0);
  assertEquals(await body, "too-large");
});

Deno.test("who leaves in the middle of a body has sent none", async () => {
  const message = new IncomingMessage(new Socket());
  const body = requestBody(message, 10);
  bytes(message, 5);
  message.destroy();
  assertEquals(await body, "gone");
});
