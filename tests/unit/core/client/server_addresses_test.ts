/** Tests of the addresses of a server's name: in which order they are tried, and which one is used. */
import { assertEquals } from "../../../support/assert.ts";
import { ClientWorld, FAKE_TCP } from "../../../support/client/client_world.ts";

const START = { kind: "start", lookUpFirst: false } as const;
const DOWN = { kind: "peer-down" } as const;

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
