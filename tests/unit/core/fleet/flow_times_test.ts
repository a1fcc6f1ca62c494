/** Tests of lib/core/fleet/fleet_flows.ts: how long flows last that were taken over. */
import { FlowBatchWriter } from "../../../../lib/core/fleet/flow_batch.ts";
import { UDP_TIMEOUT, WELL_KNOWN_UDP_TIMEOUT } from "../../../../lib/core/nat/constants.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { fleet, pass } from "../../../support/fleet/flow_gateways.ts";
import { address, CLIENT, EXTERNAL, only, read, REMOTE } from "../../../support/nat/world.ts";
import { buildUdp } from "../../../support/packets/packet_builder.ts";

Deno.test("a flow of which little time was left lasts as long as any once its client goes on with it", () => {
  // In the second in which it was taken over, and later.
  for (const wait of [0, 300, 2_000]) {
    const [one, two] = fleet();
    const datagram = {
      ...{ source: CLIENT, sourcePort: 5_000, destination: REMOTE, destinationPort: 5_000 },
      payload: Uint8Array.of(1),
    };
    const { sourcePort } = read(only(one.world.outbound(buildUdp(datagram)), "outside"));
    pass(UDP_TIMEOUT - 20_000, [one, two]);
    assertEquals(two.hold(), { kept: 1, lost: 0 });
    two.world.advance(wait);
    only(two.world.outbound(buildUdp(datagram)), "outside");
    two.world.advance(UDP_TIMEOUT - 1_000);
    const answer = { source: REMOTE, destination: EXTERNAL, destinationPort: sourcePort };
    only(two.world.inbound(buildUdp({ ...answer, sourcePort: 5_000 })), "inside");
  }
});

Deno.test("a flow that was told of with more time than its use gives it ends by that, in the same second too", () => {
  for (const wait of [0, 300, 2_000]) {
    const [, two] = fleet();
    const writer = new FlowBatchWriter();
    writer.add({
      ...{ protocol: 17, isShared: false, seen: 1, externalPort: 20_500, timeLeft: UDP_TIMEOUT },
      ...{ innerAddress: address(CLIENT), innerPort: 5_000, remoteAddress: 0, remotePort: 0 },
    });
    assert(two.flows.take(writer.take(), two.world.clock.now));
    assertEquals(two.hold(), { kept: 1, lost: 0 });
    two.world.advance(wait);
    const ends = { source: CLIENT, sourcePort: 5_000, destination: REMOTE, destinationPort: 443 };
    only(two.world.outbound(buildUdp(ends)), "outside");
    two.world.advance(WELL_KNOWN_UDP_TIMEOUT + 2_000);
    assertEquals(two.world.nat.mappingCount, 0);
  }
});

Deno.test("a flow that nobody goes on with ends when it would have at the gateway before", () => {
  const [one, two] = fleet();
  const ends = { source: CLIENT, sourcePort: 5_000, destination: REMOTE, destinationPort: 5_000 };
  only(one.world.outbound(buildUdp(ends)), "outside");
  pass(UDP_TIMEOUT - 20_000, [one, two]);
  assertEquals(two.hold(), { kept: 1, lost: 0 });
  two.world.advance(10_000);
  assertEquals(two.world.nat.mappingCount, 1);
  two.world.advance(15_000);
  assertEquals(two.world.nat.mappingCount, 0);
});
