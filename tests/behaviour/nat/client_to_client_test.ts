/**
 * Tests of clients that are kept apart, `ClientToClient = off`: the external address is no way round, but to forwarded
 * ports.
 */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../support/packets/packet_builder.ts";
import {
  ACK,
  assertSilent,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  only,
  quotedBy,
  read,
  REMOTE,
  SYN,
  World,
} from "../../support/nat/world.ts";

/** Of the first client's. */
const FORWARDS = [
  { protocol: "tcp", externalPort: 8080, address: 0x0a424d02, port: 80 },
  { protocol: "udp", externalPort: 8053, address: 0x0a424d02, port: 53 },
] as const;

function apart(clientQuota = 4096): World {
  return new World({ clientToClient: false, forwards: FORWARDS, clientQuota });
}

const BUILD = { tcp: buildTcp, udp: buildUdp } as const;

/** A client's packet to an endpoint. */
function packet(
  kind: "tcp" | "udp",
  source: string,
  sourcePort: number,
  destinationPort: number,
  destination = EXTERNAL,
  flags = SYN,
): Bytes {
  return BUILD[kind]({ source, destination, sourcePort, destinationPort, flags });
}

function externalPort(world: World, kind: "tcp" | "udp", source: string, port: number): number {
  return read(only(world.outbound(packet(kind, source, port, 5000, REMOTE)), "outside")).sourcePort;
}

for (const kind of ["tcp", "udp"] as const) {
  for (const isShared of [false, true]) {
    const name = `${kind}${isShared ? ", from a shared port" : ""}`;
    const forwarded = kind === "tcp" ? 8080 : 8053;
    const inner = kind === "tcp" ? 80 : 53;
    const world = () => {
      const made = apart(isShared ? 1 : 4096);
      externalPort(made, kind, CLIENT_2, 1);
      return made;
    };

    Deno.test(`a client does not reach another by its external endpoint where clients are kept apart, ${name}`, () => {
      const stage = world();
      const port = externalPort(stage, kind, CLIENT, 40_000);
      assertSilent(stage.outbound(packet(kind, CLIENT_2, 50_000, port)));
      assertEquals(stage.dropped(DropReason.clientToClientOff), 1);
      // The internet does, as ever.
      only(stage.inbound(packet(kind, REMOTE, 5000, port)), "inside");
    });

    Deno.test(`a client reaches another's forwarded port, and is answered, where clients are kept apart, ${name}`, () => {
      const stage = world();
      const asked = read(
        only(stage.outbound(packet(kind, CLIENT_2, 50_000, forwarded)), "inside"),
      );
      assertEquals([asked.destination, asked.destinationPort], [CLIENT, inner]);
      const back = packet(kind, CLIENT, inner, asked.sourcePort, EXTERNAL, SYN | ACK);
      const answered = read(only(stage.outbound(back), "inside"));
      assertEquals([answered.destination, answered.destinationPort], [CLIENT_2, 50_000]);
    });
  }

  Deno.test(`a published service reaches no client that has not written to it, ${kind}`, () => {
    const world = apart();
    const forwarded = kind === "tcp" ? 8080 : 8053;
    const inner = kind === "tcp" ? 80 : 53;
    const port = externalPort(world, kind, CLIENT_2, 50_000);
    const back = packet(kind, CLIENT, inner, port, EXTERNAL, ACK);
    assertSilent(world.outbound(back));
    // Neither once another of the client's ports has.
    only(world.outbound(packet(kind, CLIENT_2, 50_002, forwarded)), "inside");
    assertSilent(world.outbound(back));
    assertEquals(world.dropped(DropReason.clientToClientOff), 2);
  });

  Deno.test(`a client's ICMP errors reach no other where clients are kept apart, ${kind}`, () => {
    const world = apart();
    const port = externalPort(world, kind, CLIENT, 40_000);
    externalPort(world, kind, CLIENT_2, 50_000);
    // About a packet that it never got.
    const forged = packet(kind, EXTERNAL, port, 50_000, CLIENT_2);
    const error = { source: CLIENT_2, destination: EXTERNAL, type: 3, code: 3, payload: forged };
    assertSilent(world.outbound(buildIcmp(error)));
    assertEquals(world.dropped(DropReason.clientToClientOff), 1);
    // About what it got from a published service, it does reach that.
    const asked = only(
      world.outbound(packet(kind, CLIENT_2, 50_000, kind === "tcp" ? 8080 : 8053)),
      "inside",
    );
    const sent = only(
      world.outbound(
        packet(kind, CLIENT, kind === "tcp" ? 80 : 53, read(asked).sourcePort, EXTERNAL, ACK),
      ),
      "inside",
    );
    const about = buildIcmp({ ...error, payload: sent });
    const received = only(world.outbound(about), "inside");
    assertEquals(read(received).destination, CLIENT);
    assertEquals(read(quotedBy(received), { checked: false }).source, CLIENT);
  });
}

Deno.test("fragments go no other way than their first where clients are kept apart", () => {
  for (const backwards of [false, true]) {
    const world = apart();
    const port = externalPort(world, "udp", CLIENT, 40_000);
    const whole = buildUdp({
      source: CLIENT_2,
      destination: EXTERNAL,
      destinationPort: port,
      payload: new Uint8Array(3000),
    });
    const parts = fragment(whole, 1400);
    for (const part of backwards ? parts.reverse() : parts) assertSilent(world.outbound(part));
  }
});

Deno.test("a client reaches itself by its external endpoint, kept apart from others or not", () => {
  for (const clientToClient of [true, false]) {
    const world = new World({ clientToClient });
    const port = externalPort(world, "udp", CLIENT, 40_000);
    const received = read(only(world.outbound(packet("udp", CLIENT, 50_000, port)), "inside"));
    assert(received.destination === CLIENT && received.destinationPort === 40_000);
  }
});
