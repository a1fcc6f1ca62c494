/** Tests of which protocols the NAT carries, and what it says of the others. */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildIcmp, buildIpv4 } from "../../support/packets/packet_builder.ts";
import {
  assertSilent,
  CLIENT,
  EXTERNAL,
  GATEWAY,
  only,
  quotedBy,
  read,
  REMOTE,
  World,
} from "../../support/nat/world.ts";

/** IGMP has no business outside its link; 253 is for experiments (RFC 3692). */
const OTHERS = { IGMP: 2, "6in4": 41, GRE: 47, ESP: 50, AH: 51, SCTP: 132, UDPLite: 136, any: 253 };
const PAYLOAD = Uint8Array.of(0, 77, 0, 77, 1, 2, 3, 4, 5, 6, 7, 8);

for (const [name, protocol] of Object.entries(OTHERS)) {
  Deno.test(`a client's ${name} is refused with ICMP protocol unreachable, and counted`, () => {
    const world = new World();
    const packet = buildIpv4({ source: CLIENT, destination: REMOTE, protocol, payload: PAYLOAD });
    const error = only(world.outbound(packet), "inside");
    const { source, destination, type, code } = read(error);
    assertEquals([source, destination, type, code], [GATEWAY, CLIENT, 3, 2]);
    assertEquals(quotedBy(error), packet);
    assertEquals(world.dropped(DropReason.natUnsupportedProtocol), 1);
  });

  Deno.test(`${name} from outside reaches no client, whatever its bytes are`, () => {
    const world = new World();
    const echo = buildIcmp({ source: CLIENT, destination: REMOTE, identifier: 77 });
    const { identifier } = read(only(world.outbound(echo), "outside"));
    const payload = new Uint8Array(64);
    for (let at = 0; at < payload.length; at += 2) {
      new DataView(payload.buffer).setUint16(at, identifier);
    }
    assertSilent(
      world.inbound(buildIpv4({ source: REMOTE, destination: EXTERNAL, protocol, payload })),
    );
    assertEquals(world.dropped(DropReason.natUnsupportedProtocol), 1);
  });
}

Deno.test("later fragments of a protocol that is not carried do not wait for their first", () => {
  const world = new World();
  const fields = { protocol: 47, fragmentOffset: 8, payload: PAYLOAD };
  assertSilent(world.outbound(buildIpv4({ ...fields, source: CLIENT, destination: REMOTE })));
  assertSilent(world.inbound(buildIpv4({ ...fields, source: REMOTE, destination: EXTERNAL })));
  assertEquals(world.dropped(DropReason.natUnsupportedProtocol), 2);
  assertEquals(world.nat.pollAt(), Infinity);
});

Deno.test("ICMP errors about protocols that are not carried are bounded for each client", () => {
  const world = new World();
  const packet = buildIpv4({ source: CLIENT, destination: REMOTE, protocol: 47 });
  let errors = 0;
  for (let i = 0; i < 100; i++) errors += world.outbound(packet).inside.length;
  assertEquals(errors, 10);
  assertEquals(world.dropped(DropReason.natUnsupportedProtocol), 100);
});
