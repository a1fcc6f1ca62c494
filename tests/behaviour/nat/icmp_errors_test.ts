/** Tests of the ICMP errors that the NAT sends itself, and of those that it does not let through. */
import { ICMP_ERRORS_PER_SECOND } from "../../../lib/core/nat/constants.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../support/assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
  referenceChecksum,
} from "../../support/packets/packet_builder.ts";
import { connect } from "../../support/nat/connection.ts";
import {
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  GATEWAY,
  only,
  quotedBy,
  read,
  REMOTE,
  REMOTE_2,
  World,
} from "../../support/nat/world.ts";

function expiring(source = CLIENT, fields = {}): Bytes {
  return buildUdp({
    source,
    destination: REMOTE,
    timeToLive: 1,
    payload: Uint8Array.of(9),
    ...fields,
  });
}

Deno.test("a client's packet whose time to live ends is answered from the gateway's inner address", () => {
  const world = new World();
  for (const timeToLive of [0, 1]) {
    const packet = expiring(CLIENT, { timeToLive });
    const error = only(world.outbound(packet), "inside");
    const fields = read(error);
    assertEquals(
      [fields.source, fields.destination, fields.type, fields.code],
      [GATEWAY, CLIENT, 11, 0],
    );
    assertEquals(quotedBy(error), packet);
    assertEquals(world.nat.mappingCount, 0);
  }
  const alive = world.outbound(expiring(CLIENT, { timeToLive: 2 }));
  assertEquals(read(only(alive, "outside")).timeToLive, 1);
});

Deno.test("an inbound packet whose time to live ends is answered from the external address", () => {
  const world = new World();
  const { externalPort } = connect(world);
  const fields = { destination: EXTERNAL, timeToLive: 1 };
  const error = only(
    world.inbound(buildTcp({ source: REMOTE, destinationPort: externalPort, ...fields })),
    "outside",
  );
  const { source, destination, type, code } = read(error);
  assertEquals([source, destination, type, code], [EXTERNAL, REMOTE, 11, 0]);
  // To nobody's port, there is silence as before.
  assertSilent(world.inbound(buildTcp({ source: REMOTE, destinationPort: 7, ...fields })));
});

Deno.test("whom filtering keeps out gets no errors either", () => {
  const world = new World({ filtering: "address" });
  const { externalPort } = connect(world);
  const to = { destination: EXTERNAL, destinationPort: externalPort };
  const payload = new Uint8Array(1440);
  for (const source of [REMOTE, REMOTE_2]) {
    const sent = [
      ...world.inbound(buildTcp({ source, ...to, timeToLive: 1 })).outside,
      ...world.inbound(buildTcp({ source, ...to, dontFragment: true, payload })).outside,
    ];
    assertEquals(sent.length, source === REMOTE ? 2 : 0);
  }
  assertEquals(world.dropped(DropReason.natFiltered), 2);
});

Deno.test("errors are sent ten times a second to each client", () => {
  const world = new World();
  const count = (source: string, packets: number) => {
    let errors = 0;
    for (let i = 0; i < packets; i++) errors += world.outbound(expiring(source)).inside.length;
    return errors;
  };
  assertEquals(ICMP_ERRORS_PER_SECOND, 10);
  assertEquals([count(CLIENT, 50), count(CLIENT_2, 50)], [10, 10]);
  world.advance(999);
  assertEquals(count(CLIENT, 50), 0);
  world.advance(1);
  assertEquals(count(CLIENT, 50), 10);
  assertEquals(world.dropped(DropReason.ttlExceeded), 200);
});

Deno.test("errors to strangers are limited in all, and do not use up those to clients", () => {
  const world = new World();
  const { externalPort } = connect(world);
  let errors = 0;
  for (let last = 0; last < 5000; last++) {
    const source = `198.51.${last >>> 8}.${last & 0xff}`;
    const packet = { source, destination: EXTERNAL, destinationPort: externalPort, timeToLive: 1 };
    errors += world.inbound(buildTcp(packet)).outside.length;
  }
  assertEquals(errors, 128);
  only(world.outbound(expiring()), "inside");
});

Deno.test("there are no errors about errors, nor about later fragments", () => {
  const world = new World();
  const payload = buildUdp({ source: REMOTE, destination: CLIENT });
  for (const type of [3, 4, 5, 11, 12]) {
    assertSilent(
      world.outbound(
        buildIcmp({ source: CLIENT, destination: REMOTE, type, timeToLive: 1, payload }),
      ),
    );
  }
  const parts = fragment(expiring(CLIENT, { payload: new Uint8Array(100) }), 68);
  only(world.outbound(parts[0]), "inside");
  assertSilent(world.outbound(parts[1]));
  only(world.outbound(buildIcmp({ source: CLIENT, destination: REMOTE, timeToLive: 1 })), "inside");
});

Deno.test("an ICMP error's time to live is counted down too, and its end is silent", () => {
  const world = new World();
  const out = only(world.outbound(buildUdp({ source: CLIENT, destination: REMOTE })), "outside");
  const error = { source: REMOTE_2, destination: EXTERNAL, type: 11, payload: out };
  assertEquals(
    read(only(world.inbound(buildIcmp({ ...error, timeToLive: 2 })), "inside")).timeToLive,
    1,
  );
  assertSilent(world.inbound(buildIcmp({ ...error, timeToLive: 1 })));
  assertEquals(world.dropped(DropReason.ttlExceeded), 1);
});

Deno.test("broken ICMP errors are dropped", () => {
  const world = new World();
  const out = only(world.outbound(buildUdp({ source: CLIENT, destination: REMOTE })), "outside");
  const echo = only(world.outbound(buildIcmp({ source: CLIENT, destination: REMOTE })), "outside");
  const reheaded = (change: (packet: Bytes) => void, packet = out) => {
    const changed = packet.slice();
    change(changed);
    changed.set([0, 0], 10);
    const checksum = referenceChecksum(changed.subarray(0, 20));
    changed.set([checksum >>> 8, checksum & 0xff], 10);
    return changed;
  };
  const payloads = {
    "nothing": new Uint8Array(),
    "a header alone": out.slice(0, 20),
    "seven bytes of the transport header": out.slice(0, 27),
    "version 6": reheaded((packet) => packet[0] = 0x65),
    "a short header": reheaded((packet) => packet[0] = 0x44),
    "a header beyond the end": reheaded((packet) => packet[0] = 0x4f),
    "a later fragment": reheaded((packet) => packet[7] = 5),
    "another protocol": reheaded((packet) => packet[9] = 47),
    "an error about an error": reheaded((packet) => packet[20] = 3, echo),
    "an echo reply": reheaded((packet) => packet[20] = 0, echo),
  };
  for (const [name, payload] of Object.entries(payloads)) {
    const error = { source: REMOTE, destination: EXTERNAL, type: 3, code: 1, payload };
    const before = world.dropped(DropReason.natBadIcmp);
    assertSilent(world.inbound(buildIcmp(error)));
    assertEquals(world.dropped(DropReason.natBadIcmp), before + 1, name);
  }
});

Deno.test("an ICMP error in fragments is dropped", () => {
  const world = new World();
  const out = only(world.outbound(buildUdp({ source: CLIENT, destination: REMOTE })), "outside");
  const error = { source: REMOTE, destination: EXTERNAL, type: 3, payload: out };
  assertSilent(world.inbound(buildIcmp({ ...error, moreFragments: true })));
  assertEquals(world.dropped(DropReason.natBadIcmp), 1);
});

Deno.test("a client cannot send an error about another's connection, nor to where the quoted packet did not come from", () => {
  const world = new World();
  connect(world);
  const payload = buildTcp({
    source: REMOTE,
    destination: CLIENT,
    sourcePort: 80,
    destinationPort: 40_000,
  });
  const send = (source: string, destination: string) =>
    world.outbound(buildIcmp({ source, destination, type: 3, code: 1, payload }));
  only(send(CLIENT, REMOTE), "outside");
  assertSilent(send(CLIENT_2, REMOTE));
  assertSilent(send(CLIENT, REMOTE_2));
});
