/** Tests of the client machine: which event, in which state, at which time, has which actions. */
import { assert, assertEquals } from "../../../support/assert.ts";
import { ClientWorld, placesAt, SETTINGS, UDP } from "../../../support/client/client_world.ts";

const START = { kind: "start", lookUpFirst: false } as const;
const DOWN = { kind: "peer-down" } as const;
const UP = { kind: "peer-up", from: null } as const;
const HOST_READY = { kind: "host-ready" } as const;

Deno.test("a client begins a handshake with its server at once, and is connected by the answer", () => {
  const world = new ClientWorld();
  world.tell(START);
  world.run(10_000);
  assertEquals(world.taken(), [
    "0 read-path 1",
    "0 use UDP to 1",
    "0 initiate every 700",
    "50 stop-repeating",
    "50 connected",
  ]);
});

Deno.test("a client that nothing answers within ConnectTimeout ends, and asks for nothing more", () => {
  const world = new ClientWorld();
  world.isReached = () => false;
  world.tell(START);
  world.run(2_500);
  assertEquals(world.taken().slice(3), ["2500 stop-repeating", "2500 no-answer"]);
  assertEquals(world.machine.dueAt, Infinity);
  for (const event of [UP, DOWN, HOST_READY, { kind: "woke" } as const]) world.tell(event);
  world.run(600_000);
  assertEquals(world.taken(), []);
});

Deno.test("a server that has authenticated itself before the start is connected to at once", () => {
  const world = new ClientWorld();
  world.tell(UP);
  world.tell(START);
  assertEquals(world.taken(), [
    "0 read-path 1",
    "0 use UDP to 1",
    "0 stop-repeating",
    "0 connected",
  ]);
  world.run(1_000);
  assertEquals(world.taken(), ["0 re-handshake"]);
});

Deno.test("an action that fails ends the first attempt, with the error", () => {
  const world = new ClientWorld({ transport: "faketcp" });
  world.fakeTcpTime = new Error("no CAP_NET_RAW");
  world.tell(START);
  world.run(10);
  assertEquals(world.taken().slice(-2), ["0 stop-repeating", "0 start-failed: no CAP_NET_RAW"]);
});

Deno.test("a lost server is looked up and connected to again", () => {
  const world = ClientWorld.connected();
  world.tell(DOWN);
  world.run(1_000);
  assertEquals(world.taken(), [
    "100 say lost",
    "100 look-up",
    "120 set-endpoint 1",
    "120 read-path 1",
    "120 use UDP to 1",
    "120 initiate every 700",
    "170 stop-repeating",
    "170 say connected-again by UDP to 1 after 70",
  ]);
});

Deno.test("the pauses between attempts grow to 30 s, each from half of the limit to all of it", () => {
  for (const fraction of [0, 0.5, 1]) {
    const world = ClientWorld.connected({ random: () => fraction });
    world.isReached = () => false;
    world.tell(DOWN);
    world.run(300_000);
    const lines = world.taken();
    const at = (what: string) =>
      lines.filter((line) => line.endsWith(what)).map((line) => parseInt(line));
    const [ends, lookUps] = [at("stop-repeating"), at("look-up").slice(1)];
    const pauses = lookUps.map((time, index) => time - ends[index]!);
    const limits = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
    assertEquals(pauses.slice(0, 8), limits.map((limit) => limit / 2 * (1 + fraction)));
  }
});

Deno.test("an answer in the pause connects at once", () => {
  const world = ClientWorld.connected();
  world.isReached = () => false;
  world.tell(DOWN);
  world.run(2_600);
  world.taken();
  world.tell({ kind: "peer-up", from: { address: 1, port: 51_820 } });
  world.run(600_000);
  assertEquals(world.taken(), ["2700 say connected-again by UDP to 1 after 2600"]);
});

Deno.test("with OnPeerTimeout = exit a lost server is the end", () => {
  const world = ClientWorld.connected({ settings: { onPeerTimeout: "exit" } });
  world.tell(DOWN);
  world.run(60_000);
  world.tell(UP);
  assertEquals(world.taken(), ["100 peer-lost"]);
});

Deno.test("a server that is missing while the client connects is not lost by that", () => {
  const world = new ClientWorld();
  world.tell(START);
  world.run(10);
  world.tell(DOWN);
  world.run(100);
  world.tell(HOST_READY);
  world.run(60_000);
  assertEquals(world.taken().at(-1), "50 connected");
});

Deno.test("a server that is lost while the host is set up is acted on when that is done", () => {
  for (const onPeerTimeout of ["exit", "reconnect"] as const) {
    const world = new ClientWorld({ settings: { onPeerTimeout } });
    world.tell(START);
    world.run(100);
    world.taken();
    world.tell(DOWN);
    world.run(100);
    assertEquals(world.taken(), []);
    world.tell(HOST_READY);
    assertEquals(world.taken()[0], `200 ${onPeerTimeout === "exit" ? "peer-lost" : "say lost"}`);
  }
});

Deno.test("a server that is back before the host is set up was never lost", () => {
  const world = new ClientWorld();
  world.tell(START);
  world.run(100);
  world.taken();
  for (const event of [DOWN, UP, HOST_READY]) world.tell(event);
  world.run(60_000);
  assertEquals(world.taken(), []);
});

Deno.test("a session that came before the loss connects nobody again", () => {
  const world = ClientWorld.connected();
  world.isReached = () => false;
  world.tell(UP);
  world.tell(DOWN);
  world.run(2_000);
  assert(!world.isUp);
  world.tell(UP);
  assert(world.isUp);
});

Deno.test("an answer that overtakes the look-up connects at once, and the look-up changes nothing", () => {
  const world = ClientWorld.connected();
  world.lookUpTime = 2_000;
  world.resolver = [2];
  world.tell(DOWN);
  world.run(500);
  world.tell(UP);
  world.run(60_000);
  assertEquals(world.taken(), [
    "100 say lost",
    "100 look-up",
    "600 say connected-again by UDP to 1 after 500",
  ]);
  assertEquals(world.machine.route, { address: 1, port: 51_820, transport: UDP });
});

Deno.test("the answer to an earlier look-up is none to the one that is under way", () => {
  const world = ClientWorld.connected();
  world.lookUpTime = 2_000;
  world.tell(DOWN);
  world.run(500);
  for (const event of [UP, DOWN]) world.tell(event);
  world.taken();
  world.run(1_999);
  assertEquals(world.taken(), []);
  world.run(1);
  assertEquals(world.taken()[0], "2600 set-endpoint 1");
});

Deno.test("an attempt that cannot be made is followed by the next, after a pause", () => {
  const world = ClientWorld.connected();
  world.resolver = new Error("no resolver");
  world.tell(DOWN);
  world.run(200);
  assertEquals(world.taken(), [
    "100 say lost",
    "100 look-up",
    "120 stop-repeating",
    "120 say attempt-failed",
  ]);
  world.resolver = [1];
  world.run(1_000);
  assertEquals(world.taken().at(-1), "565 say connected-again by UDP to 1 after 465");
});

Deno.test("a client that wakes from sleep begins a handshake at once", () => {
  const world = ClientWorld.connected();
  world.tell({ kind: "woke" });
  assertEquals(world.taken(), ["100 say awake", "100 re-handshake"]);
});

const move = (...addresses: number[]) =>
  ({ kind: "server-moved", settings: SETTINGS, places: placesAt(addresses) }) as const;

Deno.test("a reload with another server connects to that one, by all its addresses", () => {
  const world = ClientWorld.connected();
  world.isReached = ({ address }) => address === 8;
  world.tell(move(7, 8));
  world.run(10_000);
  assertEquals(world.taken(), [
    "100 set-server",
    "100 set-endpoint 7",
    "100 read-path 7",
    "100 use UDP to 7",
    "100 initiate every 700",
    "1350 say no-answer by UDP to 7, next UDP to 8",
    "1350 set-endpoint 8",
    "1350 read-path 8",
    "1350 use UDP to 8",
    "1350 initiate every 700",
    "1400 stop-repeating",
    "1400 moved: connected",
    "1400 say moved",
  ]);
});

Deno.test("a reload whose server does not answer says so after ConnectTimeout, and tries on", () => {
  const world = ClientWorld.connected();
  world.isReached = () => false;
  world.tell(move(7));
  world.run(2_500);
  assertEquals(world.taken().slice(-4), [
    "2600 stop-repeating",
    "2600 moved: not yet",
    "2600 say lost",
    "2600 look-up",
  ]);
  world.resolver = [7];
  world.isReached = () => true;
  world.run(1_000);
  assertEquals(world.taken().at(-1), "2670 say connected-again by UDP to 7 after 70");
});

Deno.test("a reload whose attempt cannot be made fails with the error, and tries on", () => {
  const world = ClientWorld.connected({ transport: "auto" });
  world.isReached = () => false;
  world.fakeTcpTime = new Error("no CAP_NET_RAW");
  world.tell(move(7));
  world.run(1_250);
  assertEquals(world.taken().slice(-4), [
    "1350 stop-repeating",
    "1350 move-failed: no CAP_NET_RAW",
    "1350 say lost",
    "1350 look-up",
  ]);
});

Deno.test("a reload while the server is lost is not waited for: the new one is tried at once", () => {
  const world = ClientWorld.connected();
  world.isReached = () => false;
  world.tell(DOWN);
  world.run(2_700);
  world.taken();
  world.isReached = ({ address }) => address === 7;
  world.tell(move(7));
  world.run(1_000);
  assertEquals(world.taken(), [
    "2800 moved: not yet",
    "2800 set-server",
    "2800 set-endpoint 7",
    "2800 read-path 7",
    "2800 use UDP to 7",
    "2800 initiate every 700",
    "2850 stop-repeating",
    "2850 say connected-again by UDP to 7 after 2750",
  ]);
});

Deno.test("a reload is kept by from then on: what it says of OnPeerTimeout and ConnectTimeout", () => {
  const world = ClientWorld.connected();
  const settings = { connectTimeout: 500, onPeerTimeout: "exit" } as const;
  world.tell({ kind: "reconfigured", settings });
  world.isReached = () => false;
  world.tell({ kind: "server-moved", settings, places: placesAt([7]) });
  world.run(500);
  assertEquals(world.taken().slice(-2), ["600 moved: not yet", "600 peer-lost"]);
});

Deno.test("a client that is stopped asks for nothing more, whatever comes", () => {
  const world = ClientWorld.connected({ transport: "auto" });
  world.isReached = () => false;
  world.tell(DOWN);
  world.run(1_000);
  world.tell({ kind: "stop" });
  world.taken();
  for (const event of [UP, DOWN, HOST_READY, { kind: "udp-works" } as const, move(7)]) {
    world.tell(event);
  }
  world.run(600_000);
  assertEquals([world.taken(), world.machine.dueAt], [[], Infinity]);
});

Deno.test("an action on which nothing depends fails without any effect but a word", () => {
  const world = ClientWorld.connected();
  const action = { kind: "read-path", address: 1 } as const;
  world.tell({ kind: "action-failed", action, error: new Error("no netlink") });
  world.run(60_000);
  assertEquals(world.taken(), ["100 say fault"]);
});

Deno.test("why a lost server is silent is asked once, when the first attempt has failed, and again after the next loss", () => {
  const world = ClientWorld.connected();
  const times = () =>
    world.taken().filter((line) => /explain-silence|connected-again/.test(line))
      .map((line) => line.replace(/^\d+ /, ""));
  world.isReached = () => false;
  world.tell(DOWN);
  world.run(2_600);
  assertEquals(times(), ["explain-silence"]);
  world.run(600_000);
  assertEquals(times(), []);
  world.tell(UP);
  world.tell(DOWN);
  world.run(60_000);
  assertEquals(times().map((line) => line.split(" by ")[0]), [
    "say connected-again",
    "explain-silence",
  ]);
});

Deno.test("of a server with addresses of both families, the one that answers is used, by each transport", () => {
  const world = new ClientWorld({ addresses: ["2001:db8::1", 1], transport: "auto" });
  world.isReached = ({ transport, address }) => transport !== UDP && address === 1;
  world.tell(START);
  world.run(2_500);
  const tried = world.taken().filter((line) => / use |connected/.test(line));
  assertEquals(tried.map((line) => line.replace(/^\d+ /, "")), [
    "use UDP to 2001:db8::1",
    "use UDP to 1",
    "use fake TCP to 2001:db8::1",
    "use fake TCP to 1",
    "connected",
  ]);
});

Deno.test("an address of the other family that answers late is used all the same", () => {
  const world = new ClientWorld({ addresses: ["2001:db8::1", 1] });
  world.roundTrip = 1_400;
  world.isReached = ({ address }) => address !== 1;
  world.tell(START);
  world.run(2_500);
  assertEquals(world.taken().at(-1), "1400 connected");
  assertEquals(world.machine.route, { address: "2001:db8::1", port: 51_820, transport: UDP });
});
