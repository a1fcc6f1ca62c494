/** Tests of what the control method "capture" takes and tells. */
import { captureEvent, captureRequest, chunkOf } from "../../../lib/control/capture.ts";
import { RequestError } from "../../../lib/control/protocol.ts";
import { VERSION } from "../../../lib/process/version.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const PEERS = new Map([["a2V5MQ==", { name: "laptop" }], ["a2V5Mg==", { name: null }]]);
const application = `vpn ${VERSION}`;

Deno.test("captureRequest() finds a peer by name or public key, and is for all and all of it otherwise", () => {
  const all = { publicKey: null, snapLength: 262_144, application };
  assertEquals(captureRequest({}, PEERS), all);
  assertEquals(captureRequest({ peer: "laptop" }, PEERS), { ...all, publicKey: "a2V5MQ==" });
  assertEquals(captureRequest({ peer: "a2V5Mg==", snapLength: 1 }, PEERS), {
    ...all,
    publicKey: "a2V5Mg==",
    snapLength: 1,
  });
});

Deno.test("captureRequest() throws what is wrong with a request", () => {
  const cases: [params: Record<string, unknown>, message: string][] = [
    [{ peer: "labtop" }, 'there is no peer "labtop": did you mean "laptop"?'],
    [{ peer: "tv" }, 'there is no peer "tv": `vpn status` shows names and keys'],
    [{ peer: null }, "peer is not a string"],
    ...[0, 262_145, 1.5, "64", null].map((snapLength): [Record<string, unknown>, string] => [
      { snapLength },
      "snapLength is not 1 to 262144",
    ]),
  ];
  for (const [params, message] of cases) {
    assertThrows(() => captureRequest(params, PEERS), RequestError, message);
  }
});

Deno.test("chunkOf() has what captureEvent() was given, after a way as JSON", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  assertEquals(chunkOf(JSON.parse(JSON.stringify(captureEvent(bytes)))), bytes);
  for (const event of [null, 7, {}, { chunk: 7 }]) {
    assertThrows(() => chunkOf(event), TypeError, "another version");
  }
});
