/** Tests of the table of flows to back ends: against a plain map, and what gives way where it is full. */
import { Service } from "../../../../../lib/core/nat/services/service.ts";
import { SERVICE_FLOWS, ServiceFlows } from "../../../../../lib/core/nat/services/service_flows.ts";
import { BackEnd, Client, Mapping } from "../../../../../lib/core/nat/records.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { ACK, FIN, RST, SYN } from "../../../../support/nat/world.ts";
import fc from "../../../../support/property.ts";

const SERVICE = new Service(0, { protocol: 6, address: 0, port: 443 });
/** Seconds. */
const ESTABLISHED = 7440;
const TRANSITORY = 240;

function stage(count = 3): { flows: ServiceFlows; backEnds: BackEnd[] } {
  const flows = new ServiceFlows(0x5eed);
  const backEnds = Array.from({ length: count }, (_, i) => {
    const endpoint = { innerAddress: i + 1, innerPort: 80, externalPort: 443 };
    const mapping = new Mapping(new Client(null).tcp, endpoint, true);
    return new BackEnd(SERVICE, `b${i}`, mapping, false);
  });
  for (const backEnd of backEnds) flows.enter(backEnd);
  return { flows, backEnds };
}

interface Known {
  readonly backEnd: number;
  used: number;
  hasGoneOn: boolean;
  closed: Set<"in" | "out">;
  isReset: boolean;
}

const END = fc.record({
  service: fc.nat(2),
  remote: fc.constantFrom(1, -1, 0x7fffffff, -0x80000000),
  port: fc.constantFrom(1, 1024, 65_535),
});
const STEP = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("in" as const), end: END, flags: flags() }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("out" as const), end: END, flags: flags() }),
  },
  fc.record({
    kind: fc.constant("wait" as const),
    seconds: fc.constantFrom(1, 60, TRANSITORY - 1, TRANSITORY, ESTABLISHED),
  }),
  fc.record({ kind: fc.constant("leave" as const), backEnd: fc.nat(2) }),
);

function flags(): fc.Arbitrary<number> {
  return fc.constantFrom(SYN, SYN | ACK, ACK, FIN | ACK, RST);
}

Deno.test("flows are known, counted and forgotten as in a plain map", () => {
  fc.assert(fc.property(fc.array(STEP, { maxLength: 60 }), (steps) => {
    const { flows, backEnds } = stage();
    const known = new Map<string, Known>();
    let second = 10;
    let turn = 0;
    const isOver = (each: Known) => each.isReset || each.closed.size === 2;
    const isAlive = (each: Known) =>
      second - each.used < (each.hasGoneOn && !isOver(each) ? ESTABLISHED : TRANSITORY);
    for (const step of steps) {
      if (step.kind === "wait") {
        second += step.seconds;
        // All of it.
        for (let i = 0; i < 32; i++) flows.sweep(second);
        for (const [key, each] of known) if (!isAlive(each)) known.delete(key);
        continue;
      }
      if (step.kind === "leave") {
        flows.leave(backEnds[step.backEnd]);
        flows.enter(backEnds[step.backEnd]);
        for (const [key, each] of known) if (each.backEnd === step.backEnd) known.delete(key);
        continue;
      }
      const { end: { service, remote, port } } = step;
      const key = `${service} ${remote} ${port}`;
      let flow = flows.find(service, remote, port, second);
      const expected = known.get(key);
      assertEquals(flow >= 0, expected !== undefined, key);
      if (flow < 0) {
        const backEnd = turn++ % backEnds.length;
        flow = flows.add(service, true, remote, port, backEnds[backEnd], second);
        const made = { backEnd, used: second, hasGoneOn: false, isReset: false };
        known.set(key, { ...made, closed: new Set() });
      }
      const each = known.get(key)!;
      assertEquals(flows.backEndOf(flow), backEnds[each.backEnd]);
      assertEquals([flows.remoteOf(flow), flows.remotePortOf(flow)], [remote, port]);
      each.used = second;
      if (step.kind === "in") {
        flows.noteInbound(flow, step.flags, second);
        if ((step.flags & FIN) !== 0) each.closed.add("in");
        if ((step.flags & RST) !== 0) each.isReset = true;
      } else {
        flows.noteOutbound(flow, step.flags, second);
        each.isReset = (step.flags & RST) !== 0;
        if ((step.flags & RST) === 0 && (step.flags & SYN) === 0) each.hasGoneOn = true;
        if ((step.flags & (RST | FIN)) === FIN) each.closed.add("out");
      }
      assertEquals(flows.isOver(flow), isOver(each));
    }
    for (const [index, backEnd] of backEnds.entries()) {
      const open = [...known.values()].filter((each) => each.backEnd === index && !isOver(each));
      assertEquals(backEnd.open, open.length, `back end ${index}`);
    }
  }));
});

Deno.test("a flood of forged connections does not push out those that back ends go on with", () => {
  const { flows, backEnds: [backEnd] } = stage(1);
  const established = Array.from({ length: 10_000 }, (_, i) => {
    const flow = flows.add(0, true, i, 40_000, backEnd, 1);
    flows.noteOutbound(flow, SYN | ACK, 1);
    flows.noteOutbound(flow, ACK, 1);
    return i;
  });
  for (let i = 0; i < 2 * SERVICE_FLOWS; i++) flows.add(0, true, -1 - i, i & 0xffff, backEnd, 60);
  const left = established.filter((remote) => flows.find(0, remote, 40_000, 61) >= 0);
  // More than eight of them may have come to the same places.
  assert(left.length > 9_990, `${left.length} of ${established.length} are left`);
  assert(backEnd.open <= SERVICE_FLOWS);
});

Deno.test("one that is over gives way before one that is opening, and that before one that goes on", () => {
  const { flows, backEnds: [backEnd] } = stage(1);
  /** Ends with the same places as the first: eight for those, and more. */
  const bucket: number[] = [];
  const first = flows.add(0, true, 0, 1, backEnd, 1) & -8;
  flows.remove(first);
  for (let remote = 0; bucket.length < 10; remote++) {
    const flow = flows.add(0, true, remote, 1, backEnd, 1);
    if ((flow & -8) === first) bucket.push(remote);
    flows.remove(flow);
  }
  const places = bucket.slice(0, 8).map((remote) => flows.add(0, true, remote, 1, backEnd, 1));
  for (const flow of places) flows.noteOutbound(flow, ACK, 2);
  flows.noteInbound(places[3], RST, 3);
  const opening = flows.add(0, true, bucket[8], 1, backEnd, 4);
  assertEquals(opening, places[3]);
  assertEquals(flows.add(0, true, bucket[9], 1, backEnd, 5), opening);
  assertEquals(backEnd.open, 8);
});
