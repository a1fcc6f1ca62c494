/** Tests of published services: what the data plane, people and programs are told of back ends, and when. */
import { parseForward } from "../../../../lib/core/config/values/forward_key.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import type { NatService } from "../../../../lib/core/nat/nat_options.ts";
import { formatIpv4, parseCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import { getLogger } from "../../../../lib/process/logging.ts";
import type { CheckTarget } from "../../../../lib/services/published/health_checks.ts";
import { PublishedServices } from "../../../../lib/services/published/published_services.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const KEYS = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte));

function forwards(...values: string[]) {
  return values.flatMap((value) =>
    parseForward({ fileName: "s.conf", line: 1, key: "Forward", value })
      .map(({ forward }) => forward)
  );
}

function peers(addresses: readonly (string | null)[] = ["10.66.77.2", "10.66.77.3", "10.66.77.4"]) {
  return new Map(addresses.flatMap((address, i) =>
    address === null ? [] : [
      [
        encodeKey(KEYS[i]),
        { name: `web-${i + 1}`, allowedIps: [parseCidr(`${address}/32`)!] },
      ] as const,
    ]
  ));
}

/** Services with a data plane that takes what it is told, and back ends that answer but for those that are dead. */
function stage(...values: string[]) {
  return stageWith([], ...values);
}

/** @param drained keys of back ends that were drained before the start */
function stageWith(drained: readonly string[], ...values: string[]) {
  const timers = new FakeTimers();
  const dead = new Set<string>();
  const checked: string[] = [];
  const told: (readonly NatService[])[] = [];
  const recorded: string[] = [];
  const kept = { drained };
  const published = new PublishedServices({
    forwards: forwards(...values),
    addresses: [parseCidr("10.66.77.1/24")!],
    peers: peers(),
    connect: ({ address, port }: CheckTarget) => {
      const place = `${formatIpv4(address)}:${port}`;
      checked.push(place);
      return Promise.resolve(dead.has(place) ? "connection refused" : null);
    },
    drained: {
      read: () => kept.drained,
      write: (keys) => void (kept.drained = [...keys]),
    },
    logger: getLogger("server"),
    record: (kind, detail) => void recorded.push(`${kind} ${detail}`),
  });
  return {
    ...{ timers, dead, checked, told, recorded, kept, published },
    start: () =>
      published.start({
        setServices: (services) => {
          told.push(services);
          return Promise.resolve();
        },
      }),
    report: (peer: number, event: "up" | "down") =>
      published.report({
        kind: "peer",
        event,
        publicKey: KEYS[peer - 1],
        name: null,
        endpoint: { address: 1, port: 1 },
        otherPlace: null,
      }),
    states: () =>
      published.status({ services: [] })[0].backEnds.map(({ state, reason }) =>
        reason === null ? state : `${state}: ${reason}`
      ),
    /** Who may be given flows, as the data plane has it. */
    eligible: () =>
      told.at(-1)![0].backEnds.filter(({ address, isUp, isDraining }) =>
        address !== null && isUp && !isDraining
      ).map(({ name }) => name),
    [Symbol.dispose]() {
      published[Symbol.dispose]();
      timers[Symbol.dispose]();
    },
  };
}

const WEB = "tcp:443 -> web-1:8443, web-2:8443, 192.0.2.7:8443";

Deno.test("a back end is up once its peer has a session, and the data plane is told when that changes", async () => {
  using world = stage(WEB);
  world.dead.add("10.66.77.2:8443").add("10.66.77.3:8443");
  assertEquals(world.published.current[0].backEnds.map(({ isUp }) => isUp), [false, false, true]);
  world.start();
  world.report(1, "up");
  await world.timers.advance(1);
  assertEquals(world.eligible(), ["web-1:8443", "192.0.2.7:8443"]);
  assertEquals(world.states(), ["up", "down: the peer has no session", "up"]);
  world.report(1, "down");
  await world.timers.advance(1);
  assertEquals(world.eligible(), ["192.0.2.7:8443"]);
  const count = world.told.length;
  world.report(1, "down");
  world.report(3, "up");
  await world.timers.advance(1);
  assertEquals(world.told.length, count);
});

Deno.test("a check that is answered shows that there is a session", async () => {
  using world = stage(WEB);
  world.start();
  await world.timers.advance(10);
  assertEquals(world.states(), ["up", "up", "up"]);
});

Deno.test("a back end that does not answer is down, and up again when it does; people are told once", async () => {
  using world = stage(WEB);
  world.start();
  // A gateway that was restarted waits for its peers, and nobody is told of that.
  await world.timers.advance(11_000);
  assertEquals(world.recorded, []);
  world.dead.add("192.0.2.7:8443");
  await world.timers.advance(2_750);
  assertEquals(world.eligible(), ["web-1:8443", "web-2:8443"]);
  await world.timers.advance(20_000);
  world.dead.clear();
  await world.timers.advance(3_000);
  assertEquals(world.eligible().length, 3);
  assertEquals(world.recorded, [
    "back-end-down tcp:443 192.0.2.7:8443: connection refused",
    "back-end-up tcp:443 192.0.2.7:8443",
  ]);
});

Deno.test("a back end that comes and goes is told of a few times, and once a minute after that", async () => {
  using world = stage("tcp:443 -> web-1:8443, web-2:8443");
  world.start();
  await world.timers.advance(20_000);
  for (let i = 0; i < 100; i++) {
    world.report(1, i % 2 === 0 ? "down" : "up");
    await world.timers.advance(100);
    // What an answer to a check would say at once.
    world.dead.add("10.66.77.2:8443");
  }
  assertEquals(world.recorded.length, 10);
  world.recorded.length = 0;
  world.report(1, "down");
  world.report(2, "down");
  world.dead.add("10.66.77.3:8443");
  await world.timers.advance(5_000);
  assertEquals(world.recorded, ["back-end-down tcp:443 web-2:8443: the peer has no session"]);
  world.recorded.length = 0;
  await world.timers.advance(60_000);
  assertEquals(world.recorded, ["back-end-down tcp:443 web-1:8443: connection refused"]);
  await world.timers.advance(200_000);
  assertEquals(world.recorded.length, 1);
});

Deno.test("what is not there ten seconds after the start is told then", async () => {
  using world = stage(WEB);
  world.dead.add("10.66.77.2:8443");
  world.start();
  await world.timers.advance(9_999);
  assertEquals(world.recorded, []);
  await world.timers.advance(1);
  assertEquals(world.recorded, ["back-end-down tcp:443 web-1:8443: the peer has no session"]);
});

Deno.test("checks go to the port that the configuration names, or nowhere", async () => {
  const cases: [string, string[]][] = [["", ["8443"]], ["(check=80)", ["80"]], [
    "(check=off)",
    [],
  ]];
  for (const [options, ports] of cases) {
    using world = stage(`${WEB} ${options}`);
    world.start();
    await world.timers.advance(1);
    assertEquals([...new Set(world.checked.map((place) => place.split(":")[1]))], ports);
    if (options !== "(check=off)") continue;
    assertEquals(world.states()[2], "unchecked");
    assertEquals(world.eligible(), ["192.0.2.7:8443"]);
  }
});

Deno.test("a back end that is drained gets nothing new until that is taken back", async () => {
  using world = stage(WEB, "udp:53 -> web-1:53, web-2:53");
  world.start();
  await world.timers.advance(10);
  assertEquals(world.published.drain("web-1", null, true), ["tcp:443", "udp:53"]);
  await world.timers.advance(1);
  assertEquals(world.eligible(), ["web-2:8443", "192.0.2.7:8443"]);
  assertEquals(world.states()[0], "drained");
  assertEquals(world.published.drain("web-1:8443", "tcp:443", false), ["tcp:443"]);
  await world.timers.advance(1);
  assertEquals(world.eligible().length, 3);
  const [, dns] = world.told.at(-1)!;
  assertEquals(dns.backEnds[0].isDraining, true);
});

Deno.test("what is drained stays so over a restart, but for the only back end of a service", async () => {
  const drained = ["tcp:443 web-1:8443", "tcp:443 gone:1", "tcp:22 web-3:22"];
  using world = stageWith(drained, WEB, "tcp:22 -> web-3:22");
  world.start();
  await world.timers.advance(10);
  assertEquals(world.eligible(), ["web-2:8443", "192.0.2.7:8443"]);
  assertEquals(world.told.at(-1)![1].backEnds[0].isDraining, false);
  world.published.drain("web-2", null, true);
  assertEquals(world.kept.drained, ["tcp:443 web-1:8443", "tcp:443 web-2:8443"]);
  world.published.drain("web-1", null, false);
  assertEquals(world.kept.drained, ["tcp:443 web-2:8443"]);
  // A reload that leaves the drained one alone would else leave nobody.
  world.published.setForwards(forwards("tcp:443 -> web-2:8443", "tcp:22 -> web-3:22"));
  await world.timers.advance(10);
  assertEquals([world.eligible(), world.kept.drained], [["web-2:8443"], []]);
});

Deno.test("what cannot be drained is refused in words", () => {
  using world = stage(WEB, "tcp:22 -> web-3:22");
  const cases: [string, string | null, string][] = [
    ["web-9", null, "Cannot drain web-9: it is no back end of a Forward with several back ends"],
    ["web-1", "tcp:80", "Cannot drain web-1: it is no back end of service tcp:80"],
    ["web-3", null, "Cannot drain web-3: tcp:22 has no other back end"],
  ];
  for (const [backEnd, service, message] of cases) {
    const error = assertThrows(() => world.published.drain(backEnd, service, true), RangeError);
    assertEquals(error.message, message);
  }
});

Deno.test("back ends by name follow their peers, which come, move and go", async () => {
  using world = stage(WEB);
  world.start();
  await world.timers.advance(10);
  world.published.setPeers(peers(["10.66.77.99", null]));
  await world.timers.advance(10);
  const [{ backEnds }] = world.told.at(-1)!;
  assertEquals(backEnds[0].address, parseCidr("10.66.77.99/32")!.address);
  assertEquals(backEnds[1].address, null);
  assertEquals(world.states(), ["up", "absent: there is no such peer, or it has no access", "up"]);
  assert(world.checked.includes("10.66.77.99:8443"));
});

Deno.test("of two back ends at one endpoint the second is nowhere, and says so", async () => {
  const first = "tcp:443 -> web-1:8443, 10.66.77.2:8443, web-2:80";
  using world = stage(first, "tcp:444 -> 10.66.77.3:80, web-3:80", "tcp:80 -> 10.66.77.4:80");
  world.start();
  await world.timers.advance(10);
  const taken = "absent: a back end before it, of this or another service, is there as well";
  const states = () =>
    world.published.status({ services: [] }).map(({ backEnds }) =>
      backEnds.map(({ state, reason }) => reason === null ? state : `${state}: ${reason}`)
    );
  assertEquals(states(), [["up", taken, "up"], [taken, taken], ["unchecked"]]);
  assertEquals(
    world.told.at(-1)!.map(({ backEnds }) => backEnds.map(({ address }) => address !== null)),
    [[true, false, true], [false, false]],
  );
  // The first one moves away.
  world.published.setPeers(peers(["10.66.77.99", "10.66.77.3", "10.66.77.4"]));
  await world.timers.advance(10);
  assertEquals(states()[0]![1], "absent: no peer with access has this address");
});

Deno.test("another configuration is followed where the same is published", () => {
  using world = stage(WEB, "tcp:80 -> 10.66.77.2:80");
  const { published } = world;
  const can = (...values: string[]) => published.canFollow(forwards(...values));
  const plain = "tcp:80 -> 10.66.77.2:80";
  assertEquals(can("tcp:443 -> web-2:8443, web-3:9 (least)", plain), true);
  assertEquals(can(plain, "tcp:443 -> web-2:8443, web-3:9"), true);
  assertEquals(can(WEB), false);
  assertEquals(can(WEB, "tcp:80 -> 10.66.77.3:80"), false);
  assertEquals(can("tcp:444 -> web-1:8443, web-2:8443", plain), false);
  assertEquals(can("tcp:203.0.113.7:443 -> web-1:8443, web-2:8443", plain), false);
  published.setForwards(forwards("tcp:443 -> web-2:8443, web-3:9 (least)", plain));
  const [{ method, backEnds }] = published.current;
  assertEquals([method, ...backEnds.map(({ name }) => name)], ["least", "web-2:8443", "web-3:9"]);
});

Deno.test("ports for back ends outside are set apart at the start alone", () => {
  using world = stage("tcp:443 -> web-1:8443, web-2:8443");
  assertEquals(world.published.canFollow(forwards(WEB)), false);
});

Deno.test("plain forwards are shown, and of one back end nothing is asked", async () => {
  using world = stage("tcp:80 -> 10.66.77.2:80", "tcp:443 -> web-1:8443");
  world.start();
  await world.timers.advance(10_000);
  assertEquals(world.checked, []);
  assertEquals(world.published.plain.length, 1);
  const shown = world.published.status({
    services: [{ service: 0, backEnd: 0, open: 4, total: 9 }],
  });
  assertEquals(
    shown.map((
      { name, backEnds: [{ state, connections, totalConnections }] },
    ) => [name, state, connections, totalConnections]),
    [["tcp:443", "unchecked", 4, 9], ["tcp:80", "unchecked", 0, 0]],
  );
});
