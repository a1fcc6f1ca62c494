/**
 * Tests of what a gateway's own NAT hands to its interface: merged packets where they are taken, right ones in any
 * case.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { withoutChecksumOffload } from "../support/traffic/checksum_offload.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INTERNET,
  UPLINK,
} from "../support/gateway.ts";
import { addressOf, hasGoodTransportChecksum, Tap } from "../support/outside.ts";
import { transfer, TRANSFER_PROGRAMS } from "../support/traffic/transfer.ts";
import { CABLE } from "../support/wire.ts";

const PROGRAMS = { programs: [...GATEWAY_PROGRAMS, ...TRANSFER_PROGRAMS] };
const MTU = 1500;
const SIZE = 2_000_000;

/** A TCP packet of the gateway's with data in it. */
function isUpload(packet: Uint8Array): boolean {
  return packet[9] === 6 && packet.length > 100 &&
    new DataView(packet.buffer).getUint32(12) === addressOf(EXTERNAL);
}

netTest("a gateway's NAT hands a flow's packets to the interface merged", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  await network.startBoth();
  using tap = new Tap(network.internet, { device: CABLE, bufferSize: 16 * 1024 * 1024 });
  const { intact } = await transfer(network.client.namespace, network.internet, {
    address: INTERNET,
    length: SIZE,
  });
  assert(intact);
  const uploads = tap.seen().map(({ packet }) => packet).filter(isUpload);
  const merged = uploads.filter((packet) => packet.length > MTU);
  assert(merged.length > uploads.length / 4, `${merged.length} of ${uploads.length} are merged`);
}, PROGRAMS);

netTest(
  "a gateway's NAT sends well-formed packets by an interface that merges nothing",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    withoutChecksumOffload(network.gateway, UPLINK);
    await network.startBoth();
    using tap = new Tap(network.internet, { device: CABLE, bufferSize: 16 * 1024 * 1024 });
    const { intact } = await transfer(network.client.namespace, network.internet, {
      address: INTERNET,
      length: SIZE,
    });
    assert(intact);
    const uploads = tap.seen().map(({ packet }) => packet).filter(isUpload);
    assert(uploads.length > SIZE / MTU, `${uploads.length} packets`);
    assertEquals(uploads.filter((packet) => packet.length > MTU).length, 0);
    assertEquals(uploads.filter((packet) => !hasGoodTransportChecksum(packet)).length, 0);
  },
  PROGRAMS,
);
