/** Shows that a status has each peer once, also while a change of the peers is under way. */
import type { LivePeer } from "../../../lib/control/live_peers.ts";
import { type StatusFrame, statusOf } from "../../../lib/control/status.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import type { AdmissionState } from "../../../lib/core/peers/admission.ts";
import type { DataPlaneHandle } from "../../../lib/dataplane/data_plane_handle.ts";
import type { PeerStatistics } from "../../../lib/dataplane/data_plane_protocol.ts";
import { assertEquals } from "../../support/assert.ts";
import { sampleKeys } from "../../support/config/sample_keys.ts";
import { PEER_STATISTICS } from "../../support/status/peer_statistics.ts";

const KEYS = [1, 2, 3].map((number) => new Uint8Array(32).fill(number));
const CONFIG = parseConfig(
  `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\nAddress = 10.66.77.1/24\n` +
    KEYS.map((key, index) =>
      `[Peer]\nName = peer-${index}\nPublicKey = ${encodeKey(key)}\nAllowedIPs = 10.66.77.${
        index + 2
      }/32\n`
    ).join(""),
  "server.conf",
);

/** What a status says of the peers: the data plane has some, and the main thread says of each how it stands. */
async function told(
  inDataPlane: readonly number[],
  states: readonly (AdmissionState | null)[],
): Promise<(readonly [string | null, AdmissionState, number])[]> {
  const known = CONFIG.peers.filter((_, index) => (states[index] ?? null) !== null);
  const peers = new Map<string, LivePeer>(known.map((each) => [encodeKey(each.publicKey), each]));
  const statistics = inDataPlane.map((index): PeerStatistics => ({
    ...PEER_STATISTICS,
    publicKey: KEYS[index]!,
    name: `peer-${index}`,
    receivedBytes: 7,
  }));
  const dataPlane = {
    statistics: () =>
      Promise.resolve({
        peers: statistics,
        workers: [],
        drops: {},
        segmentation: true,
        sendError: null,
        nat: { mappings: 0, sessions: 0, sendErrors: {} },
        services: [],
      }),
  } as unknown as DataPlaneHandle;
  const frame: StatusFrame = {
    dnsProxy: null,
    interfaceName: "vpn0",
    netns: null,
    role: "server",
    config: CONFIG,
    port: 51820,
    aead: "builtin",
    threads: { workers: 1, decidedBy: "auto: 2 processors", oneThread: null },
    peers: {
      peers,
      admissionOf: (_key, peer) => states[KEYS.findIndex((key) => key[0] === peer.publicKey[0])]!,
      ruleText: () => "",
    },
    accounts: null,
    published: null,
    degraded: () => [],
    store: () => null,
    since: new Date(0),
  };
  const status = await statusOf(dataPlane, frame);
  return status.peers.map(({ name, admission, received }) => [name, admission, received] as const);
}

Deno.test("a status has the peers of the data plane, then those that are kept out of it", async () => {
  assertEquals(await told([0, 2], ["admitted", "disabled", "admitted"]), [
    ["peer-0", "admitted", 7],
    ["peer-2", "admitted", 7],
    ["peer-1", "disabled", 0],
  ]);
});

Deno.test("a peer on its way into the data plane, or out of it, is in a status", async () => {
  assertEquals(await told([0], ["admitted", "admitted"]), [
    ["peer-0", "admitted", 7],
    ["peer-1", "admitted", 0],
  ]);
});

Deno.test("a peer that has just been disabled is in a status once", async () => {
  assertEquals(await told([0, 1], ["admitted", "disabled"]), [
    ["peer-0", "admitted", 7],
    ["peer-1", "disabled", 0],
  ]);
});

Deno.test("a peer of the data plane that the main thread does not know yet is in a status", async () => {
  assertEquals(await told([0, 1], ["admitted", null]), [
    ["peer-0", "admitted", 7],
    ["peer-1", "admitted", 7],
  ]);
});
