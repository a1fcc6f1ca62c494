/** Tests of lib/dataplane/workers/packet_workers.ts. */
import type { DataPlaneConfig } from "../../../../lib/dataplane/data_plane_protocol.ts";
import { packetWorkerConfig } from "../../../../lib/dataplane/workers/packet_workers.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("a packet worker is given no key of the tunnel's, nor its peers': those of sessions are enough", () => {
  const config = {
    isGateway: true,
    privateKey: new Uint8Array(32).fill(0x11),
    mtu: 1420,
    mark: 7,
    offload: true,
    aead: "auto",
    addresses: [],
    clientToClient: true,
    egressRules: [],
    fleet: null,
    peers: [{ publicKey: new Uint8Array(32), presharedKey: new Uint8Array(32).fill(0x11) }],
  } as unknown as DataPlaneConfig;
  const given = packetWorkerConfig(config, { port: 51_820, hasOneNat: false });
  assertEquals(Object.keys(given).sort(), [
    "access",
    "addresses",
    "addresses6",
    "aead",
    "clientToClient",
    "egress",
    "egress6",
    "egressRules",
    "hasOneNat",
    "isGateway",
    "mark",
    "mtu",
    "offload",
    "port",
  ]);
});
