/** Tests of a server's places, by its endpoints and their names: in which order they are tried, which one is used. */
import { assertEquals } from "../../../support/assert.ts";
import { placesOf } from "../../../../lib/core/client/server_places.ts";
import { ClientWorld, FAKE_TCP, placesAt, UDP } from "../../../support/client/client_world.ts";

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
  assertEquals(world.machine.route, { address: 2, port: 51_820, transport: FAKE_TCP });
});

Deno.test("an answer that comes late, from an address tried before, makes that the one in use", () => {
  const world = new ClientWorld({ addresses: [1, 2] });
  world.isReached = () => false;
  world.tell(START);
  world.run(2_000);
  world.tell({ kind: "peer-up", from: { address: 1, port: 51_820 } });
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

/** Endpoints in the order of preference, each with its addresses. */
const endpoints = (...lists: readonly (readonly number[])[]) =>
  lists.flatMap((addresses, rank) => placesAt(addresses, rank));

/** What was tried since the last call, each with its time. */
const triedIn = (world: ClientWorld) =>
  world.taken().filter((line) => / use |say (?:lost|connected)|stop|peer-lost/.test(line));

Deno.test("each Endpoint has ConnectTimeout for itself, and only when none has answered is there no answer", () => {
  const world = new ClientWorld({ places: endpoints([1], [2, 3], [4]) });
  world.isReached = () => false;
  world.tell(START);
  world.run(60_000);
  assertEquals(world.taken().filter((line) => !/set-endpoint|read-path|initiate/.test(line)), [
    "0 use UDP to 1",
    "2500 say no-answer by UDP to 1, next UDP to 2",
    "2500 use UDP to 2",
    "3750 say no-answer by UDP to 2, next UDP to 3",
    "3750 use UDP to 3",
    "5000 say no-answer by UDP to 3, next UDP to 4",
    "5000 use UDP to 4",
    "7500 stop-repeating",
    "7500 no-answer",
  ]);
});

Deno.test("each Endpoint is tried by each transport before the next one is", () => {
  const world = new ClientWorld({ transport: "auto", places: endpoints([1], [2]) });
  world.isReached = ({ address, transport }) => address === 2 && transport !== UDP;
  world.tell(START);
  world.run(10_000);
  assertEquals(triedIn(world), [
    "0 use UDP to 1",
    "1250 use fake TCP to 1",
    "2510 use UDP to 2",
    "3760 use fake TCP to 2",
    "3820 stop-repeating",
  ]);
});

Deno.test("a lost Endpoint is left for the next one at once, which is kept until it is lost itself", () => {
  const world = ClientWorld.connected({ places: endpoints([1], [2], [3]) });
  world.isReached = ({ address }) => address !== 1;
  world.tell(DOWN);
  world.run(600_000);
  assertEquals(triedIn(world), [
    "100 say lost",
    "120 use UDP to 2",
    "170 stop-repeating",
    "170 say connected-again by UDP to 2 after 70",
  ]);
  // The first is back by then: it is preferred to the third.
  world.isReached = ({ address }) => address !== 2;
  world.tell(DOWN);
  world.run(60_000);
  assertEquals(triedIn(world), [
    "600100 say lost",
    "600120 use UDP to 1",
    "600170 stop-repeating",
    "600170 say connected-again by UDP to 1 after 70",
  ]);
});

Deno.test("where none of several answers, all are tried again and again, the lost one last", () => {
  const world = ClientWorld.connected({ places: endpoints([1], [2]) });
  world.isReached = () => false;
  world.tell(DOWN);
  world.run(10_000);
  assertEquals(triedIn(world), [
    "100 say lost",
    "120 use UDP to 2",
    "2620 use UDP to 1",
    "5120 stop-repeating",
    "5515 use UDP to 2",
    "8015 use UDP to 1",
  ]);
});

Deno.test("with OnPeerTimeout = exit, a lost Endpoint is the end only when no other one answers", () => {
  const exiting = { places: endpoints([1], [2]), settings: { onPeerTimeout: "exit" } } as const;
  const world = ClientWorld.connected(exiting);
  world.tell(DOWN);
  world.run(60_000);
  assertEquals(triedIn(world).at(-1), "170 say connected-again by UDP to 2 after 70");
  world.isReached = () => false;
  world.tell(DOWN);
  world.run(60_000);
  assertEquals(triedIn(world), [
    "60100 say lost",
    "60120 use UDP to 1",
    "62620 use UDP to 2",
    "65120 stop-repeating",
    "65120 peer-lost",
  ]);
});

Deno.test("a reload with other endpoints begins with the first of them", () => {
  const world = ClientWorld.connected({ places: endpoints([1], [2]) });
  world.isReached = ({ address }) => address !== 1;
  world.tell(DOWN);
  world.run(1_000);
  world.taken();
  world.isReached = () => true;
  world.tell({ kind: "server-moved", settings: world.settings, places: endpoints([1], [2], [3]) });
  world.run(1_000);
  assertEquals(triedIn(world), ["1100 use UDP to 1", "1150 stop-repeating"]);
});

Deno.test("each Endpoint has its own port, and an address with another port is another place", () => {
  const world = new ClientWorld({
    places: placesOf([{ port: 51_820 }, { port: 4500 }], [[1], [1]]),
  });
  world.isReached = ({ port }) => port === 4500;
  world.tell(START);
  world.run(60_000);
  assertEquals(world.taken().filter((line) => /set-endpoint|use|connected/.test(line)), [
    "0 use UDP to 1",
    "2500 set-endpoint 1:4500",
    "2500 use UDP to 1:4500",
    "2550 connected",
  ]);
});

Deno.test("endpoints that lead to the same place are one, and one without an address is passed over", () => {
  const ports = [{ port: 1 }, { port: 1 }, { port: 1 }, { port: 2 }];
  assertEquals(placesOf(ports, [["::1"], [], ["::1", 7], [7]]), [
    { address: "::1", port: 1, rank: 0 },
    { address: 7, port: 1, rank: 2 },
    { address: 7, port: 2, rank: 3 },
  ]);
});

Deno.test("an Endpoint whose name has other addresses by then has those, before the one that worked", () => {
  const world = ClientWorld.connected({ places: endpoints([1], [2]) });
  world.isReached = () => false;
  world.resolver = endpoints([5], [2]);
  world.tell(DOWN);
  world.run(5_200);
  assertEquals(triedIn(world), [
    "100 say lost",
    "120 use UDP to 2",
    "2620 use UDP to 5",
    "3870 use UDP to 1",
    "5120 stop-repeating",
  ]);
});
