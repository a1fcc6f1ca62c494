/** Tests of the client machine: which event, in which state, at which time, has which actions. */
import { assert, assertEquals } from "../../../support/assert.ts";
import { ClientWorld, FAKE_TCP, SETTINGS, UDP } from "../../../support/client/client_world.ts";

const START = { kind: "start", lookUpFirst: false } as const;
const DOWN = { kind: "peer-down" } as const;
const UP = { kind: "peer-up", address: null } as const;
const HOST_READY = { kind: "host-ready" } as const;

Deno.test("a client shakes hands with its server at once, and is connected by the answer", () => {
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

Deno.test("each transport is tried with each address, and all share ConnectTimeout", () => {
  const world = new ClientWorld({ transport: "auto", addresses: [1, 2] });
  world.isReached = ({ address, transport }) => address === 2 && transport === FAKE_TCP;
  world.tell(START);
  world.run(2_500);
  assertEquals(world.taken(), [
    "0 read-path 1",
    "0 use UDP to 1",
    "0 initiate every 700",
    "625 say no-answer by UDP to 1, next UDP to 2",
    "625 set-endpoint 2",
    "625 read-path 2",
    "625 use UDP to 2",
    "625 initiate every 700",
    "1250 say no-answer by UDP to 2, next fake TCP to 1",
    "1250 set-endpoint 1",
    "1250 read-path 1",
    "1250 use fake TCP to 1",
    "1260 initiate every 700",
    "1885 say no-answer by fake TCP to 1, next fake TCP to 2",
    "1885 set-endpoint 2",
    "1885 read-path 2",
    "1885 use fake TCP to 2",
    "1895 initiate every 700",
    "1945 stop-repeating",
    "1945 connected",
  ]);
  assertEquals(world.machine.route, { address: 2, transport: FAKE_TCP });
});

Deno.test("an answer that comes late, from an address tried before, makes that the one in use", () => {
  const world = new ClientWorld({ addresses: [1, 2] });
  world.isReached = () => false;
  world.tell(START);
  world.run(2_000);
  world.tell({ kind: "peer-up", address: 1 });
  assertEquals(world.machine.route.address, 1);
  assertEquals(world.taken().slice(-2), ["2000 stop-repeating", "2000 connected"]);
});

Deno.test("where the addresses may be old, the name is looked up before ConnectTimeout begins", () => {
  const world = new ClientWorld();
  world.isReached = () => false;
  world.resolver = [2, 3];
  world.lookUpTime = 2_000;
  world.tell({ kind: "start", lookUpFirst: true });
  world.run(10_000);
  assertEquals(world.taken().filter((line) => !/set-endpoint|read-path|initiate/.test(line)), [
    "0 look-up",
    "2000 use UDP to 2",
    "2833 say no-answer by UDP to 2, next UDP to 3",
    "2833 use UDP to 3",
    "3667 say no-answer by UDP to 3, next UDP to 1",
    "3667 use UDP to 1",
    "4500 stop-repeating",
    "4500 no-answer",
  ]);
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
  world.tell({ kind: "peer-up", address: 1 });
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

Deno.test("a name that has other addresses has them tried, the one that worked before the others", () => {
  const world = ClientWorld.connected({ addresses: [1, 2] });
  world.isReached = () => false;
  world.resolver = [3, 1];
  world.tell(DOWN);
  world.run(1_500);
  const tried = world.taken().filter((line) => line.includes("use "));
  assertEquals(tried, ["120 use UDP to 1", "1370 use UDP to 3"]);
  world.resolver = [3, 4];
  world.run(2_500);
  assertEquals(
    world.taken().filter((line) => line.includes("use ")),
    ["3015 use UDP to 3", "3848 use UDP to 4"],
  );
  world.run(1_000);
  assertEquals(world.taken().filter((line) => line.includes("use ")), ["4682 use UDP to 1"]);
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
  assertEquals(world.machine.route, { address: 1, transport: UDP });
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

Deno.test("auto falls back to fake TCP, asks for UDP after 15 s, and returns to it when it works", () => {
  const world = new ClientWorld({ transport: "auto" });
  world.isReached = ({ transport }) => transport === FAKE_TCP;
  world.tell(START);
  world.run(2_500);
  world.tell(HOST_READY);
  assertEquals(world.taken().at(-1), "1310 connected");
  world.run(30_000);
  assertEquals(world.taken(), ["16310 try-udp", "31310 try-udp"]);
  world.isReached = () => true;
  world.run(15_000);
  assertEquals(world.taken(), [
    "46310 try-udp",
    "46360 say back-to-udp",
    "46360 use UDP to 1",
    "46360 re-handshake",
  ]);
  world.run(600_000);
  assertEquals(world.taken(), []);
});

Deno.test("each time that UDP came back and failed again, it is asked for half as often, down to every 10 min", () => {
  const world = ClientWorld.connected({ transport: "auto" });
  const pauses: number[] = [];
  for (let round = 0; round < 8; round++) {
    world.isReached = ({ transport }) => transport === FAKE_TCP;
    world.tell(DOWN);
    world.run(3_000);
    const connected = parseInt(world.taken().findLast((line) => line.includes("again"))!);
    world.isReached = () => true;
    world.run(700_000);
    const asked = parseInt(world.taken().find((line) => line.endsWith("try-udp"))!);
    pauses.push((asked - connected) / 1_000);
  }
  assertEquals(pauses, [15, 30, 60, 120, 240, 480, 600, 600]);
});

Deno.test("UDP is asked for also where fake TCP connected in the pause between attempts", () => {
  const world = ClientWorld.connected({ transport: "auto" });
  world.isReached = () => false;
  world.tell(DOWN);
  world.run(2_600);
  world.taken();
  world.tell(UP);
  world.run(20_000);
  assertEquals(world.taken(), [
    "2700 say connected-again by fake TCP to 1 after 2600",
    "17700 try-udp",
  ]);
});

Deno.test("a burst of network changes has the path read once, soon after the first", () => {
  const world = ClientWorld.connected();
  for (let ms = 0; ms < 150; ms += 10) {
    world.tell({ kind: "network-changed" });
    world.run(10);
  }
  world.run(60_000);
  assertEquals(world.taken(), ["300 read-path 1"]);
});

Deno.test("network changes that do not end have the path read five times a second", () => {
  const world = ClientWorld.connected();
  for (let ms = 0; ms < 1_000; ms += 10) {
    world.tell({ kind: "network-changed" });
    world.run(10);
  }
  const lines = world.taken();
  assert(lines.length >= 4 && lines.length <= 5, lines.join(", "));
});

Deno.test("another path to the server has a handshake follow at once, the same one and none have not", () => {
  const world = ClientWorld.connected();
  const change = (path: string) => {
    world.path = path;
    world.tell({ kind: "network-changed" });
    world.run(1_000);
    return world.taken().slice(1).map((line) => line.replace(/^\d+ /, ""));
  };
  const followed = ["say path-changed", "re-handshake"];
  assertEquals(change("eth0"), []);
  assertEquals(change("wlan0"), followed);
  assertEquals(change(""), []);
  assertEquals(change("wlan0"), []);
  assertEquals(change("eth0"), followed);
});

Deno.test("another path has UDP asked for, where fake TCP is in use for want of it", () => {
  const world = new ClientWorld({ transport: "auto" });
  world.isReached = ({ transport }) => transport === FAKE_TCP;
  world.tell(START);
  world.run(2_500);
  world.taken();
  world.path = "wlan0";
  world.tell({ kind: "network-changed" });
  world.run(1_000);
  assertEquals(world.taken().at(-1), "2700 try-udp");
});

Deno.test("a client that wakes from sleep shakes hands at once", () => {
  const world = ClientWorld.connected();
  world.tell({ kind: "woke" });
  assertEquals(world.taken(), ["100 say awake", "100 re-handshake"]);
});

const move = (...addresses: number[]) =>
  ({ kind: "server-moved", settings: SETTINGS, addresses }) as const;

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
  world.tell({ kind: "server-moved", settings, addresses: [7] });
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
