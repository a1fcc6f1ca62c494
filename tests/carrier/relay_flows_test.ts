/** Tests of `lib/carrier/relay_flows.ts`: who is found, who is idle, who gives way. */
import { type RelayFlow, RelayFlows } from "../../lib/carrier/relay_flows.ts";
import { Session } from "../../lib/carrier/session.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { Random } from "../support/random.ts";
import { CLIENT_ADDRESS, SERVER_ADDRESS, SERVER_PORT } from "./world.ts";

const IDLE = 180_000;
const HERE = 0x7f000001;

function table(capacity = 16): RelayFlows {
  return new RelayFlows({ capacity, idleTimeout: IDLE, seed: 7 });
}

function session(localPort: number): Session {
  const tuple = {
    localAddress: CLIENT_ADDRESS,
    localPort,
    remoteAddress: SERVER_ADDRESS,
    remotePort: SERVER_PORT,
  };
  return new Session(tuple, 0, { isClient: true, maxPayload: 1460 });
}

/** The ports of the flows that are over, which is then forgotten. */
function endedPorts(flows: RelayFlows): number[] {
  return flows.ended.splice(0).map(({ port }) => port);
}

Deno.test("RelayFlows.find() tells flows apart by far end and by the address written to", () => {
  const flows = table();
  const [a, b, c, d] = [
    flows.open(CLIENT_ADDRESS, 1000, HERE, 0),
    flows.open(CLIENT_ADDRESS, 1001, HERE, 0),
    flows.open(SERVER_ADDRESS, 1000, HERE, 0),
    flows.open(CLIENT_ADDRESS, 1000, HERE + 1, 0),
  ];
  assertEquals(flows.find(CLIENT_ADDRESS, 1000, HERE), a);
  assertEquals(flows.find(CLIENT_ADDRESS, 1001, HERE), b);
  assertEquals(flows.find(SERVER_ADDRESS, 1000, HERE), c);
  assertEquals(flows.find(CLIENT_ADDRESS, 1000, HERE + 1), d);
  assertEquals(flows.find(CLIENT_ADDRESS, 1002, HERE), null);
});

Deno.test("RelayFlows.poll() ends a flow after the idle time, and not while it is used", () => {
  const clock = new FakeClock();
  const flows = table();
  assertEquals(flows.pollAt(), Infinity);
  const used = flows.open(CLIENT_ADDRESS, 1, HERE, clock.now);
  flows.open(CLIENT_ADDRESS, 2, HERE, clock.now);
  assertEquals(flows.pollAt(), clock.now + IDLE);
  clock.advance(IDLE - 1);
  flows.use(used, clock.now);
  flows.poll(clock.now);
  assertEquals(endedPorts(flows), []);
  clock.advance(1);
  flows.poll(clock.now);
  assertEquals(endedPorts(flows), [2]);
  assertEquals(flows.find(CLIENT_ADDRESS, 2, HERE), null);
  assertEquals(flows.pollAt(), clock.now + IDLE - 1);
  flows.poll(clock.advance(IDLE));
  assertEquals(endedPorts(flows), [1]);
  assertEquals([flows.size, flows.pollAt()], [0, Infinity]);
});

Deno.test("RelayFlows.open() has the flow idle for longest give way when there are too many", () => {
  const clock = new FakeClock();
  const flows = table(3);
  const [first, second] = [1, 2, 3].map((port) =>
    flows.open(CLIENT_ADDRESS, port, HERE, clock.advance(1))
  );
  flows.use(first!, clock.advance(1));
  flows.open(CLIENT_ADDRESS, 4, HERE, clock.advance(1));
  assertEquals(endedPorts(flows), [2]);
  flows.open(CLIENT_ADDRESS, 5, HERE, clock.advance(1));
  assertEquals(endedPorts(flows), [3]);
  assertEquals(flows.size, 3);
  assertEquals(flows.find(CLIENT_ADDRESS, 2, HERE), null);
  // It may come back, as another.
  const again = flows.open(CLIENT_ADDRESS, 2, HERE, clock.advance(1));
  assert(again !== second);
  assertEquals(endedPorts(flows), [1]);
});

Deno.test("RelayFlows.carriedBy() follows a flow from connection to connection", () => {
  const flows = table();
  const flow = flows.open(CLIENT_ADDRESS, 1, HERE, 0);
  const [first, second] = [session(1), session(2)];
  assertEquals(flow.session, null);
  flows.carry(flow, first);
  assertEquals([flow.session, flows.carriedBy(first)], [first, flow]);
  flows.carry(flow, second);
  assertEquals([flows.carriedBy(first), flows.carriedBy(second)], [null, flow]);
});

Deno.test("RelayFlows.end() leaves the session to whoever lets go of it, and finds the flow no more", () => {
  const flows = table();
  const flow = flows.open(CLIENT_ADDRESS, 1, HERE, 0);
  const carrier = session(1);
  flows.carry(flow, carrier);
  flows.end(flow);
  assertEquals(flows.ended, [flow]);
  assertEquals(flow.session, carrier);
  assertEquals(flows.carriedBy(carrier), null);
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
    const port = random.below(90);
    const known = flows.find(CLIENT_ADDRESS, port, HERE);
    assertEquals(known, model.find((flow) => flow.port === port) ?? null);
    if (known === null) {
      const flow = flows.open(CLIENT_ADDRESS, port, HERE, clock.now);
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
