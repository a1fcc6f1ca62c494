/** Tests of the choice of a transport: the fall back to fake TCP, and the return to UDP. */
import { assertEquals } from "../../../support/assert.ts";
import { ClientWorld, FAKE_TCP } from "../../../support/client/client_world.ts";

const START = { kind: "start", lookUpFirst: false } as const;
const DOWN = { kind: "peer-down" } as const;
const UP = { kind: "peer-up", from: null } as const;
const HOST_READY = { kind: "host-ready" } as const;

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
    "46360 use UDP to 1",
    "46360 say back-to-udp",
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

Deno.test("UDP is asked for also where it answered while fake TCP was being made ready, which then takes over", () => {
  const world = ClientWorld.connected({ transport: "auto" });
  world.isReached = () => false;
  world.fakeTcpTime = 300;
  world.tell(DOWN);
  world.run(1_400);
  world.tell(UP);
  world.run(1_000);
  assertEquals(world.machine.route.transport, FAKE_TCP);
  world.taken();
  world.isReached = () => true;
  world.run(20_000);
  assertEquals(world.taken().map((line) => line.replace(/^\d+ /, "")), [
    "try-udp",
    "use UDP to 1",
    "say back-to-udp",
    "re-handshake",
  ]);
});
