/** Tests of the watch over the path to the server: when it is read, and what another one leads to. */
import { assert, assertEquals } from "../../../support/assert.ts";
import { ClientWorld, FAKE_TCP } from "../../../support/client/client_world.ts";

const START = { kind: "start", lookUpFirst: false } as const;

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

Deno.test("another path has UDP tried again, where fake TCP is in use because UDP did not work", () => {
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
