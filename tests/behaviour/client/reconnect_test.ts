/** Tests of a client's life whatever happens in it: it is never stuck, its pauses have bounds, and its end is one. */
import { reconnectPause } from "../../../lib/core/client/reconnect_pause.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import {
  ClientWorld,
  type ClientWorldOptions,
  FAKE_TCP,
  placesAt,
  SETTINGS,
  UDP,
} from "../../support/client/client_world.ts";
import fc from "../../support/property.ts";
import { Random } from "../../support/random.ts";

/** ms that a look-up, or sockets for fake TCP, take at most here. */
const SLOWEST = 2_500;

/** Something that happens to a client, some ms after what happened before. */
interface Incident {
  readonly after: number;
  readonly change: (world: ClientWorld) => void;
}

const ROUTES = [UDP, FAKE_TCP].flatMap((transport) =>
  [1, 2, 3].map((address) => ({ transport, address }))
);

const incident: fc.Arbitrary<Incident> = fc.record({
  after: fc.oneof(fc.nat(300), fc.nat(5_000), fc.nat(100_000)),
  change: fc.oneof(
    ...([
      { kind: "peer-down" },
      { kind: "peer-up", from: null },
      { kind: "peer-up", from: { address: 2, port: 51_820 } },
      { kind: "udp-works" },
      { kind: "network-changed" },
      { kind: "woke" },
    ] as const).map((event) => fc.constant((world: ClientWorld) => world.tell(event))),
    fc.constantFrom<(world: ClientWorld) => void>(
      (world) => {
        const settings = { ...world.settings, connectTimeout: 700 };
        world.tell({ kind: "reconfigured", settings });
      },
      (world) => {
        const { settings } = world;
        world.tell({ kind: "server-moved", settings, places: placesAt([3, 2]) });
      },
    ),
    fc.subarray(ROUTES).map((reached) => (world: ClientWorld) => {
      world.isReached = ({ transport, address }) =>
        reached.some((each) => each.transport === transport && each.address === address);
    }),
    fc.constantFrom<number[] | Error>([1], [2, 3], [3, 1, 2], new Error("no resolver"))
      .map((resolver) => (world: ClientWorld) => {
        world.resolver = resolver;
      }),
    fc.constantFrom("eth0", "wlan0", "").map((path) => (world: ClientWorld) => {
      world.path = path;
    }),
    fc.nat(SLOWEST).map((ms) => (world: ClientWorld) => {
      world.lookUpTime = ms;
    }),
    fc.oneof(fc.nat(SLOWEST), fc.constant(new Error("no sockets"))).map(
      (time) => (world: ClientWorld) => {
        world.fakeTcpTime = time;
      },
    ),
  ),
});

/** Endpoints of a server, each with addresses. */
const places = fc.constantFrom<number[][]>([[1]], [[1], [2, 3]], [[1], [2], [3]])
  .map((endpoints) => endpoints.flatMap((addresses, rank) => placesAt(addresses, rank)));
/** The most of them. */
const ENDPOINTS = 3;

const life = fc.record({
  places,
  transport: fc.constantFrom<"udp" | "faketcp" | "auto">("udp", "faketcp", "auto"),
  seed: fc.nat(),
  incidents: fc.array(incident, { maxLength: 30 }),
});

/** Connects, and lets it all happen. */
function lived(
  { seed, incidents, ...options }: ClientWorldOptions & {
    readonly seed: number;
    readonly incidents: readonly Incident[];
  },
): ClientWorld {
  const random = new Random(seed);
  const world = ClientWorld.connected({ ...options, random: () => random.float() });
  for (const { after, change } of incidents) {
    world.run(after);
    change(world);
  }
  return world;
}

Deno.test("from every state, a client connects soon after its server has become reachable", () => {
  fc.assert(
    fc.property(life, (options) => {
      const world = lived(options);
      world.isReached = () => true;
      world.resolver = [1];
      world.fakeTcpTime = 0;
      // What is under way may be for nothing; after the longest pause, a look-up and one attempt reach it.
      const attempt = SLOWEST + ENDPOINTS * (Math.max(SETTINGS.connectTimeout, 700) + SLOWEST);
      world.run(attempt + 30_000 + attempt);
      assert(world.isUp, JSON.stringify(world.taken().slice(-20)));
    }),
    { numRuns: 500 },
  );
});

Deno.test("a connection that stands is left alone: nothing is due but a question for UDP", () => {
  fc.assert(
    fc.property(life, (options) => {
      const world = lived(options);
      world.isReached = () => true;
      world.run(120_000);
      if (!world.isUp) return;
      world.run(700_000);
      world.taken();
      world.run(700_000);
      const { transport } = world.machine.route;
      const lines = world.taken().filter((line) => !/try-udp/.test(line));
      assertEquals(lines, []);
      if (options.transport === "auto") assertEquals(transport, UDP);
    }),
    { numRuns: 200 },
  );
});

Deno.test("whatever happened, nothing follows the end", () => {
  fc.assert(
    fc.property(life, fc.array(incident), (options, later) => {
      const world = lived(options);
      world.tell({ kind: "stop" });
      world.taken();
      for (const { after, change } of later) {
        world.run(after);
        change(world);
      }
      world.run(600_000);
      assertEquals([world.taken(), world.machine.dueAt], [[], Infinity]);
    }),
    { numRuns: 200 },
  );
});

Deno.test("with OnPeerTimeout = exit the first loss of the only endpoint is the end, and the only one", () => {
  fc.assert(
    fc.property(life, (options) => {
      const only = { places: placesAt([1]), settings: { onPeerTimeout: "exit" } } as const;
      const world = lived({ ...options, ...only });
      const ends = world.actions.filter(({ kind }) => kind === "peer-lost");
      const isLost = world.actions.some((action) =>
        action.kind === "say" && action.message.about === "lost"
      );
      assertEquals([ends.length, isLost], [world.hasEnded ? 1 : 0, false]);
    }),
    { numRuns: 200 },
  );
});

Deno.test("a pause is never shorter than the half of its limit, nor longer than 30 s", () => {
  fc.assert(fc.property(
    fc.nat(10_000),
    fc.double({ min: 0, max: 1, noNaN: true }),
    (attempt, fraction) => {
      const pause = reconnectPause(attempt, fraction);
      const limit = reconnectPause(attempt, 1);
      assert(pause >= limit / 2 && pause <= limit && limit <= 30_000 && pause >= 250);
    },
  ));
});

Deno.test("clients that lose their server at one moment do not come back at one moment", () => {
  const random = new Random(1);
  const worlds = Array.from({ length: 100 }, () => {
    const world = ClientWorld.connected({ random: () => random.float() });
    world.isReached = () => false;
    world.tell({ kind: "peer-down" });
    world.run(20_000);
    return world;
  });
  const times = worlds.map((world) =>
    parseInt(world.taken().findLast((line) => line.endsWith("look-up"))!)
  );
  assert(Math.max(...times) - Math.min(...times) > 3_000, times.join(" "));
  assert(new Set(times).size > 90, times.join(" "));
});
