/** Tests of lib/core/access/inbound_flows.ts: whom a client may answer where it may not go by itself. */
import { InboundFlows } from "../../../../lib/core/access/inbound_flows.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { assertEquals } from "../../../support/assert.ts";
import {
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../../support/packets/packet_builder.ts";

const CLIENT = "10.66.77.2";
const NEIGHBOUR = "192.0.2.9";

class Table {
  readonly #memory = createMemory(4096);
  readonly #flows = new InboundFlows(this.#memory.view, 99);

  note(packet: Bytes, now = 0): void {
    this.#memory.bytes.set(packet);
    this.#flows.note(0, now);
  }

  admits(packet: Bytes, now = 0): boolean {
    this.#memory.bytes.set(packet);
    return this.#flows.admits(0, now);
  }
}

const question = {
  source: NEIGHBOUR,
  destination: CLIENT,
  sourcePort: 50_000,
  destinationPort: 80,
};
const answer = { source: CLIENT, destination: NEIGHBOUR, sourcePort: 80, destinationPort: 50_000 };

for (const [what, build] of [["TCP", buildTcp], ["UDP", buildUdp]] as const) {
  Deno.test(`a client may answer who has written to it, and nobody else: ${what}`, () => {
    const table = new Table();
    assertEquals(table.admits(build(answer)), false);
    table.note(build(question));
    assertEquals(table.admits(build(answer)), true);
    for (
      const other of [
        { ...answer, destinationPort: 22 },
        { ...answer, sourcePort: 81 },
        { ...answer, destination: "192.0.2.10" },
        { ...answer, source: "10.66.77.3" },
      ]
    ) assertEquals(table.admits(build(other)), false, JSON.stringify(other));
    const otherProtocol = what === "TCP" ? buildUdp : buildTcp;
    assertEquals(table.admits(otherProtocol(answer)), false);
  });
}

Deno.test("a client begins no connection of TCP to who has written to it: the sender may be forged", () => {
  const table = new Table();
  table.note(buildTcp(question));
  const flags = { syn: 0x02, synAck: 0x12, ack: 0x10, finAck: 0x11, rst: 0x04 };
  const admitted = Object.entries(flags)
    .filter(([, bits]) => table.admits(buildTcp({ ...answer, flags: bits })));
  assertEquals(admitted.map(([name]) => name), ["synAck", "ack", "finAck", "rst"]);
});

Deno.test("an answer is due for a while only: TCP's longer than UDP's", () => {
  const table = new Table();
  table.note(buildUdp(question), 1_000);
  table.note(buildTcp(question), 1_000);
  assertEquals(table.admits(buildUdp(answer), 300_999), true);
  assertEquals(table.admits(buildUdp(answer), 301_000), false);
  assertEquals(table.admits(buildTcp(answer), 7_440_999), true);
  assertEquals(table.admits(buildTcp(answer), 7_441_000), false);
});

Deno.test("an answer's fragments pass", () => {
  const table = new Table();
  const parts = fragment(buildUdp({ ...answer, payload: new Uint8Array(3_000) }), 1_420);
  assertEquals(parts.map((part) => table.admits(part)), [false, false, false]);
  table.note(buildUdp(question));
  assertEquals(parts.map((part) => table.admits(part)), [true, true, true]);
});

Deno.test("flows without number delay another's answer until its next question, and no longer", () => {
  const table = new Table();
  table.note(buildTcp(question));
  for (let port = 1; port <= 20_000; port++) {
    table.note(buildTcp({ ...question, sourcePort: port }));
  }
  table.note(buildTcp(question));
  assertEquals(table.admits(buildTcp(answer)), true);
});
