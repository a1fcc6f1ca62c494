/** Shows what changes make of the peers of a running tunnel. */
import { changedPeers, type LivePeer } from "../../../lib/app/control/live_peers.ts";
import { encodeKey } from "../../../lib/config/key_text.ts";
import { formatCidr, parseCidr } from "../../../lib/wire/ipv4_text.ts";
import { assertEquals } from "../../support/assert.ts";

const key = (number: number) => new Uint8Array(32).fill(number);

function peer(number: number, ...networks: string[]): LivePeer {
  return {
    publicKey: key(number),
    presharedKey: null,
    allowedIps: networks.map((text) => parseCidr(text)!),
    endpoint: null,
    persistentKeepalive: 0,
    name: null,
    rateLimit: null,
  };
}

const PEERS = new Map([peer(1, "10.0.0.1/32", "10.1.0.0/16"), peer(2, "10.0.0.2/32")]
  .map((each) => [encodeKey(each.publicKey), each]));

function networks(peers: ReadonlyMap<string, LivePeer>): Record<string, string[]> {
  return Object.fromEntries(
    [...peers.values()].map(({ publicKey, allowedIps }) => [
      publicKey[0],
      allowedIps.map(formatCidr),
    ]),
  );
}

Deno.test("changedPeers() adds, replaces and removes, in order", () => {
  const changed = changedPeers(PEERS, [
    { kind: "put", peer: peer(3, "10.0.0.3/32") },
    { kind: "put", peer: peer(1, "10.0.0.9/32") },
    { kind: "remove", publicKey: key(2) },
    { kind: "remove", publicKey: key(7) },
  ]);
  assertEquals(networks(changed), { 1: ["10.0.0.9/32"], 3: ["10.0.0.3/32"] });
  assertEquals(networks(PEERS), { 1: ["10.0.0.1/32", "10.1.0.0/16"], 2: ["10.0.0.2/32"] });
});

Deno.test("changedPeers() gives a network to whom it was given last, and no wider or narrower one", () => {
  const changed = changedPeers(PEERS, [
    { kind: "put", peer: peer(3, "10.1.0.0/16", "10.0.0.0/24") },
  ]);
  assertEquals(networks(changed), {
    1: ["10.0.0.1/32"],
    2: ["10.0.0.2/32"],
    3: ["10.1.0.0/16", "10.0.0.0/24"],
  });
});
