/** Tests of `lib/core/relay/relay_flows.ts`: who is found, who is idle, who gives way. */
import { type RelayFlow, RelayFlows } from "../../../../lib/core/relay/relay_flows.ts";
import { NO_PATH, Paths } from "../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { Session } from "../../../../lib/core/transport/fake_tcp/session.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { FakeClock } from "../../../support/time/fake_clock.ts";
import { Random } from "../../../support/random.ts";
import {
  CLIENT_ADDRESS,
  SERVER_ADDRESS,
  SERVER_PORT,
  tupleOf,
} from "../../../support/fake_tcp/world.ts";

const IDLE = 180_000;
const HERE = 0x7f000001;

const paths = new Paths({ holders: 256, unheld: 4096 });

function table(capacity = 16): RelayFlows {
  return new RelayFlows({ capacity, idleTimeout: IDLE, paths });
}

function pathTo(address: number, port: number, source = HERE): number {
  return paths.intern(address, port, source, Transport.udp);
}

function session(localPort: number): Session {
  const tuple = tupleOf({
    ...{ local: CLIENT_ADDRESS, localPort, remote: SERVER_ADDRESS, remotePort: SERVER_PORT },
  });
  return new Session(tuple, 0, { isClient: true, maxPayload: 1460 });
}

/** A new flow, which there is room for. */
function open(
  flows: RelayFlows,
  address: number,
  port: number,
  source: number,
  now: number,
): RelayFlow {
  const flow = flows.open(pathTo(address, port, source), now);
  assert(flow !== null);
  return flow;
}

/** The ports of the flows that are over, which is then forgotten. */
function endedPorts(flows: RelayFlows): number[] {
  return flows.ended.splice(0).map(({ path }) => paths.port(path));
}

Deno.test("RelayFlows.find() tells flows apart by far end and by the address written to", () => {
  const flows = table();
  const [a, b, c, d] = [
    open(flows, CLIENT_ADDRESS, 1000, HERE, 0),
    open(flows, CLIENT_ADDRESS, 1001, HERE, 0),
    open(flows, SERVER_ADDRESS, 1000, HERE, 0),
    open(flows, CLIENT_ADDRESS, 1000, HERE + 1, 0),
  ];
  assertEquals(flows.find(pathTo(CLIENT_ADDRESS, 1000)), a);
  assertEquals(flows.find(pathTo(CLIENT_ADDRESS, 1001)), b);
  assertEquals(flows.find(pathTo(SERVER_ADDRESS, 1000)), c);
  assertEquals(flows.find(pathTo(CLIENT_ADDRESS, 1000, HERE + 1)), d);
  assertEquals(flows.find(pathTo(CLIENT_ADDRESS, 1002)), null);
});

Deno.test("RelayFlows.poll() ends a flow after the idle time, and not while it is used", () => {
  const clock = new FakeClock();
  const flows = table();
  assertEquals(flows.pollAt(), Infinity);
  const used = open(flows, CLIENT_ADDRESS, 1, HERE, clock.now);
  open(flows, CLIENT_ADDRESS, 2, HERE, clock.now);
  assertEquals(flows.pollAt(), clock.now + IDLE);
  clock.advance(IDLE - 1);
  flows.use(used, clock.now);
  flows.poll(clock.now);
  assertEquals(endedPorts(flows), []);
  clock.advance(1);
  flows.poll(clock.now);
  assertEquals(endedPorts(flows), [2]);
  assertEquals(flows.find(pathTo(CLIENT_ADDRESS, 2)), null);
  assertEquals(flows.pollAt(), clock.now + IDLE - 1);
  flows.poll(clock.advance(IDLE));
  assertEquals(endedPorts(flows), [1]);
  assertEquals([flows.size, flows.pollAt()], [0, Infinity]);
});

Deno.test("RelayFlows.open() evicts the flow idle for longest when there are too many", () => {
  const clock = new FakeClock();
  const flows = table(3);
  const [first, second] = [1, 2, 3].map((port) =>
    open(flows, CLIENT_ADDRESS, port, HERE, clock.advance(1))
  );
  flows.use(first!, clock.advance(1));
  open(flows, CLIENT_ADDRESS, 4, HERE, clock.advance(1));
  assertEquals(endedPorts(flows), [2]);
  open(flows, CLIENT_ADDRESS, 5, HERE, clock.advance(1));
  assertEquals(endedPorts(flows), [3]);
  assertEquals(flows.size, 3);
  assertEquals(flows.find(pathTo(CLIENT_ADDRESS, 2)), null);
  // It may come back, as another.
  const again = open(flows, CLIENT_ADDRESS, 2, HERE, clock.advance(1));
  assert(again !== second);
  assertEquals(endedPorts(flows), [1]);
});

Deno.test("RelayFlows.carriedBy() follows a flow from connection to connection", () => {
  const flows = table();
  const flow = open(flows, CLIENT_ADDRESS, 1, HERE, 0);
  const [first, second] = [session(1), session(2)];
  assertEquals(flow.session, null);
  flows.carry(flow, first);
  assertEquals([flow.session, flows.carriedBy(first)], [first, flow]);
  flows.carry(flow, second);
  assertEquals([flows.carriedBy(first), flows.carriedBy(second)], [null, flow]);
});

Deno.test("RelayFlows.end() leaves the session to the caller that releases it, and finds the flow no more", () => {
  const flows = table();
  const flow = open(flows, CLIENT_ADDRESS, 1, HERE, 0);
  const transport = session(1);
  flows.carry(flow, transport);
  flows.end(flow);
  assertEquals(flows.ended, [flow]);
  assertEquals(flow.session, transport);
  assertEquals(flows.carriedBy(transport), null);
});

Deno.test("RelayFlows agrees with a list sorted by age, whatever is done", () => {
  const random = new Random(11);
  const clock = new FakeClock();
  const capacity = 40;
  const flows = table(capacity);
  // The flow idle for longest first.
  const model: RelayFlow[] = [];
  const gone = () => {
    for (const flow of flows.ended.splice(0)) {
      assertEquals(flow, model.shift());
    }
  };
  for (let step = 0; step < 20_000; step++) {
    clock.advance(random.below(4) === 0 ? random.below(20_000) : 1);
    const port = 1 + random.below(90);
    const known = flows.find(pathTo(CLIENT_ADDRESS, port));
    assertEquals(known, model.find((flow) => paths.port(flow.path) === port) ?? null);
    if (known === null) {
      const flow = open(flows, CLIENT_ADDRESS, port, HERE, clock.now);
      gone();
      model.push(flow);
    } else if (random.below(20) === 0) {
      flows.end(known);
      assertEquals(flows.ended.pop(), known);
      model.splice(model.indexOf(known), 1);
    } else {
      flows.use(known, clock.now);
      model.push(...model.splice(model.indexOf(known), 1));
    }
    flows.poll(clock.now);
    gone();
    assertEquals(flows.size, model.length);
    assert(model.length <= capacity);
    assertEquals(flows.pollAt(), (model[0]?.usedAt ?? Infinity) + IDLE);
  }
});

Deno.test("a flow keeps its path as long as it lasts, however it ends, and no longer", () => {
  const capacity = 4;
  const few = new Paths({ holders: capacity, unheld: 2 });
  const flows = new RelayFlows({ capacity, idleTimeout: IDLE, paths: few });
  const clock = new FakeClock();
  for (let i = 0; i < 1_000; i++) {
    const path = few.intern(CLIENT_ADDRESS + i % 5, 1 + i, HERE, Transport.udp);
    assert(path !== NO_PATH, `flow ${i}`);
    // In turn: evicted by the next ones, ended, idle for too long.
    const flow = flows.find(path) ?? flows.open(path, clock.now)!;
    if (i % 7 === 0) flows.end(flow);
    if (i % 50 === 0) flows.poll(clock.advance(IDLE));
    flows.ended.length = 0;
    if (i % 7 === 0) continue;
    for (let stranger = 0; stranger < 3; stranger++) {
      few.intern(1 + i, 1 + stranger, 0, Transport.udp);
    }
    if (flows.find(path) === flow) assertEquals(few.port(flow.path), 1 + i);
  }
  assert(few.size <= capacity + 2);
});

Deno.test("an address that opens flow after flow loses its own, oldest first, and nobody else's", () => {
  const flows = table(16);
  for (let port = 1; port <= 4; port++) open(flows, CLIENT_ADDRESS, port, HERE, port);
  for (let port = 1; port <= 1_000; port++) open(flows, SERVER_ADDRESS, port, HERE, 10 + port);
  assertEquals(flows.size, 16);
  assertEquals(endedPorts(flows), Array.from({ length: 988 }, (_, i) => i + 1));
  for (let port = 1; port <= 4; port++) assert(flows.find(pathTo(CLIENT_ADDRESS, port)) !== null);
});

Deno.test("flows that were answered outlast any number of others, from one address or from as many", () => {
  const flows = table(16);
  for (let port = 1; port <= 4; port++) flows.answered(open(flows, CLIENT_ADDRESS, port, HERE, 0));
  for (let i = 1; i <= 1_000; i++) {
    open(flows, CLIENT_ADDRESS + i, i, HERE, i);
    open(flows, SERVER_ADDRESS, i, HERE, i);
  }
  for (let port = 1; port <= 4; port++) assert(flows.find(pathTo(CLIENT_ADDRESS, port)) !== null);
  assertEquals(flows.size, 16);
});

Deno.test("100 flows behind one address, all answered, are there together", () => {
  const flows = table(128);
  for (let port = 1; port <= 100; port++) {
    flows.answered(open(flows, CLIENT_ADDRESS, port, HERE, 0));
  }
  assertEquals([flows.size, flows.ended.length], [100, 0]);
});

Deno.test("in a table of one answered flow for each address, nobody else gets one", () => {
  const flows = table(4);
  for (let i = 0; i < 4; i++) flows.answered(open(flows, CLIENT_ADDRESS + i, 1, HERE, 0));
  assertEquals(flows.open(pathTo(SERVER_ADDRESS, 1), 0), null);
  assertEquals(flows.size, 4);
});
