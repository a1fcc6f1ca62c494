/** Tests of lib/control/test_access.ts: the control socket's question about access. */
import { testAccess } from "../../../lib/control/test_access.ts";
import { RequestError } from "../../../lib/control/protocol.ts";
import type { LivePeers } from "../../../lib/control/live_peers.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import type { TrialPacket } from "../../../lib/core/peers/access_trial.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const KEY = new Uint8Array(32).fill(7);
const RESULT = { isAllowed: true, rule: null, hasRules: false };

function peers(isAdmitted: boolean, asked: TrialPacket[] = []) {
  const peer = { publicKey: KEY, name: "laptop", isAdmitted };
  return {
    access: () => [peer],
    testAccess: (packet: TrialPacket) => {
      asked.push(packet);
      return RESULT;
    },
  } as unknown as Pick<LivePeers, "access" | "testAccess">;
}

Deno.test("a question about access names a peer by its name or its key", () => {
  const asked: TrialPacket[] = [];
  for (const peer of ["laptop", encodeKey(KEY)]) {
    const params = { peer, protocol: "tcp", address: "10.20.1.5", port: 443 };
    assertEquals(testAccess(params, peers(true, asked)), RESULT);
  }
  const packet = { from: encodeKey(KEY), protocol: "tcp", destination: 0x0a140105, port: 443 };
  assertEquals<unknown>(asked, [packet, packet]);
});

Deno.test("a question about access is refused for a peer that is not there or kept out, and for no packet", () => {
  const params = { peer: "laptop", protocol: "tcp", address: "10.20.1.5", port: 443 };
  const refused = (change: object, isAdmitted = true) =>
    assertThrows(() => testAccess({ ...params, ...change }, peers(isAdmitted)), RequestError)
      .message;
  assertEquals(refused({ peer: "x" }), 'Cannot test access: there is no peer "x"');
  assertEquals(refused({}, false), 'Cannot test access: peer "laptop" is kept out');
  const problem = "Cannot test access: give a protocol, an address and a port";
  for (const change of [{ protocol: "x" }, { address: "x" }, { address: 7 }, { port: 0 }]) {
    assertEquals(refused(change), problem);
  }
});
