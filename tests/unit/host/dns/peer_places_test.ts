/** Where peers besides a client's server are looked for. */
import { getLogger } from "../../../../lib/process/logging.ts";
import { locatedPeers, movedPlaces } from "../../../../lib/host/dns/peer_places.ts";
import type { Config, PeerConfig } from "../../../../lib/core/config/config.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const LOOPBACK = 0x7f000001;

function configOf(...endpoints: (string | null)[]): Config {
  const peers = endpoints.map((endpoint, index) =>
    `[Peer]\nPublicKey = ${sampleKeys(2 + index).publicKey}\n` +
    (endpoint === null ? "" : `Endpoint = ${endpoint}\n`)
  );
  const own = `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\nConnectTimeout = 30\n`;
  return parseConfig(own + peers.join(""), "a.conf");
}

/** A name that no look-up leaves this host for. */
function nowhere(peer: PeerConfig): PeerConfig {
  return { ...peer, endpoint: { host: "no..name", address: null, port: 7 } };
}

hostTest(
  "locatedPeers() looks names up, and goes on without a peer that is not found",
  async () => {
    const config = configOf("192.0.2.1:5", "localhost:6", null, "localhost:7");
    const peers = config.peers.with(3, nowhere(config.peers[3]!));
    const located = await locatedPeers(peers, { config, logger: getLogger("server") });
    assertEquals(located.map(({ endpoint }) => endpoint), [
      { address: 0xc0000201, port: 5 },
      { address: LOOPBACK, port: 6 },
      null,
      null,
    ]);
  },
);

hostTest("movedPlaces() looks up those that have moved, and no others", async () => {
  const { peers } = configOf("localhost:5", "localhost:6", "localhost:7");
  const [moved, still, lost] = peers as [PeerConfig, PeerConfig, PeerConfig];
  const put = [
    { peer: moved, isNew: false, isMoved: true },
    { peer: still, isNew: false, isMoved: false },
    { peer: nowhere(lost), isNew: true, isMoved: true },
  ];
  assertEquals(
    await movedPlaces(put, 30_000),
    new Map([
      [encodeKey(moved.publicKey), { host: "localhost", address: LOOPBACK, port: 5 }],
      [encodeKey(still.publicKey), null],
      [encodeKey(lost.publicKey), null],
    ]),
  );
});
