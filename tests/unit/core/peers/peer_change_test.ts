/** Shows how changes of peers travel to the data plane. */
import {
  parsePeerChange,
  type PeerChange,
  peerChangeTexts,
} from "../../../../lib/core/peers/peer_change.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";

const PUT: PeerChange = {
  kind: "put",
  peer: {
    publicKey: new Uint8Array(32).fill(0xfe),
    presharedKey: new Uint8Array(32).fill(2),
    allowedIps: [{ address: 0xfffffffe, prefixLength: 31 }],
    endpoint: { address: 0xc0000201, port: 51820 },
    persistentKeepalive: 25,
    name: "größer",
    nextKey: { publicKey: new Uint8Array(32).fill(4), presharedKey: new Uint8Array(32).fill(5) },
  },
};
const WITHOUT_SECRET: PeerChange = {
  kind: "put",
  peer: { ...PUT.peer, presharedKey: null, endpoint: null, name: null, nextKey: null },
};
const REMOVE: PeerChange = { kind: "remove", publicKey: new Uint8Array(32).fill(3) };

Deno.test("parsePeerChange() reads what peerChangeTexts() has written, through JSON", () => {
  const changes = [PUT, WITHOUT_SECRET, REMOVE];
  const texts = JSON.parse(JSON.stringify([...peerChangeTexts(changes, 10_000)].flat()));
  assertEquals(texts.map(parsePeerChange), changes);
});

Deno.test("peerChangeTexts() makes parts that fit, in order, and leaves nothing out", () => {
  const changes = Array.from({ length: 50 }, (_, index) => ({
    ...REMOVE,
    publicKey: new Uint8Array(32).fill(index),
  }));
  const parts = [...peerChangeTexts(changes, 300)];
  assert(parts.length > 1);
  for (const part of parts) assert(JSON.stringify(part).length <= 302, `${part.length}`);
  assertEquals(parts.flat().map(parsePeerChange), changes);
  assertEquals([...peerChangeTexts([], 300)], []);
  assertEquals(Array.from(peerChangeTexts([PUT, PUT], 10), (part) => part.length), [1, 1]);
});

Deno.test("parsePeerChange() throws for a key that is none", () => {
  assertThrows(() => parsePeerChange({ kind: "remove", publicKey: "AAAA" }), RangeError);
});
