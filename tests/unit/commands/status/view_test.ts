/** Shows what `vpn status` prints of an instance. */
import type { PeerStatus } from "../../../../lib/control/status.ts";
import { age, statusLines, type ViewOptions } from "../../../../lib/commands/status/view.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { peerOf, statusOf } from "../../../support/status/statuses.ts";

const PLAIN: ViewOptions = { colour: false, rates: new Map(), sparklines: false };
const LAPTOP = peerOf({
  name: "laptop",
  endpoint: "198.51.100.7:51820",
  latestHandshake: "2026-11-21T10:59:48.000Z",
  silence: 0.5,
  presence: "up",
  isUp: true,
  received: 1_500_000,
  sent: 3 * 1024 ** 3,
});

Deno.test("statusLines() says that a host is blocked, by whom, and what opens it", () => {
  const blocked = statusOf({ role: "client", state: "blocked" });
  assertEquals(statusLines(blocked, PLAIN), [
    "vpn0  blocked by the kill switch of process 4711, which has ended",
    "  only loopback and DHCP can leave this host: start the client again, or remove the block with `vpn cleanup`",
  ]);
  const [head, remedy] = statusLines({ ...blocked, netns: "blue" }, PLAIN);
  assertStringIncludes(head!, "in blue, blocked");
  assertStringIncludes(remedy!, "`ip netns exec blue vpn cleanup`");
});

Deno.test("statusLines() says what a tunnel is degraded by", () => {
  const status = statusOf({ state: "degraded", missing: ["routing rule to table 51820"] });
  assertEquals(
    statusLines(status, PLAIN)[1],
    "  degraded: without routing rule to table 51820",
  );
});

Deno.test("statusLines() shows what is published, and why back ends are out", () => {
  const backEnd = { isOutside: false, reason: null, connections: 0, totalConnections: 0 };
  const [first, second] = [
    { ...backEnd, name: "web-1:8443", address: "10.66.77.2:8443", state: "up" },
    { ...backEnd, name: "web-2:8443", address: null, state: "absent", reason: "no such peer" },
  ] as const;
  const third = { ...backEnd, name: "192.0.2.7:80", address: "192.0.2.7:80", isOutside: true };
  const status = statusOf({
    services: [
      {
        name: "tcp:443",
        method: "least",
        backEnds: [{ ...first, connections: 12, totalConnections: 340 }, second],
      },
      { name: "tcp:80", method: "hash", backEnds: [{ ...third, state: "unchecked" }] },
    ],
  });
  assertEquals(statusLines(status, PLAIN).slice(-4), [
    "  SERVICE  BY     BACK END      ADDRESS               STATE                 CONNECTIONS  IN ALL",
    "  tcp:443  least  web-1:8443    10.66.77.2:8443       up                    12           340",
    "                  web-2:8443    -                     absent: no such peer  0            0",
    "  tcp:80          192.0.2.7:80  192.0.2.7:80 outside  unchecked             -            -",
  ]);
});

Deno.test("statusLines() shows an instance and its peers, aligned", () => {
  const status = statusOf({
    peers: [LAPTOP, peerOf({ allowedIps: ["10.66.77.3/32", "10.9.0.0/16"] })],
    nat: { mappings: 1, sessions: 1200, sendErrors: { EPERM: 3 } },
    drops: { no_endpoint: 2, bad_tag: 1000 },
  });
  const rates = new Map([
    [LAPTOP.publicKey, { received: 125_000, sent: 12.5, history: [1, 2] }],
  ]);
  assertEquals(
    statusLines(
      { ...status, peers: [LAPTOP, { ...status.peers[1]!, publicKey: "A".repeat(44) }] },
      {
        ...PLAIN,
        rates,
      },
    ),
    [
      "vpn0  server on UDP port 51820, 10.66.77.1/24, up 1 h, process 4711",
      "  cipher libcrypto.so.3, 1 thread (auto: 2 processors), segmentation offload on, NAT 1 mapping 1,200 sessions",
      "  send errors: EPERM 3",
      "  dropped: bad tag 1,000, no endpoint 2",
      "",
      "  PEER           ADDRESS        ENDPOINT            TRANSPORT  HANDSHAKE   RECEIVED  SENT   IN        OUT",
      "  laptop         10.66.77.2     198.51.100.7:51820  UDP        12 s ago    1.4 MiB   3 GiB  1 Mbit/s  100 bit/s",
      "  AAAAAAAAAAAA…  10.66.77.3 +1  -                   -          never seen  0 B       0 B    -         -",
    ],
  );
});

Deno.test("statusLines() says why one thread moves the packets though several are asked for", () => {
  const lines = statusLines(statusOf({ oneThread: "Capture = nfqueue needs one" }), PLAIN);
  assertEquals(lines[2], "  one thread moves packets: Capture = nfqueue needs one");
  assert(!statusLines(statusOf({}), PLAIN).join().includes("one thread"));
});

Deno.test("statusLines() says how many threads move packets and what decided it, but not of an older vpn", () => {
  const threads = { count: 4, decidedBy: "auto: 4 processors" };
  assertEquals(
    statusLines(statusOf({ threads }), PLAIN)[1],
    "  cipher libcrypto.so.3, 4 threads (auto: 4 processors), segmentation offload on",
  );
  const { threads: _, ...older } = statusOf();
  assertEquals(statusLines(older, PLAIN)[1], "  cipher libcrypto.so.3, segmentation offload on");
});

Deno.test("statusLines() says why one of several packet workers translates for all", () => {
  const worker = { receivedMessages: 1, receivedBytes: 1024, sentMessages: 1, sentBytes: 2048 };
  const oneThread = "Capture = nfqueue needs one";
  const lines = statusLines(statusOf({ workers: [worker, worker], oneThread }), PLAIN);
  assert(lines[2]!.startsWith("  packet workers: 1 in 1.02 kB"), lines[2]);
  assertEquals(lines[3], `  the first of them translates for all: ${oneThread}`);
});

Deno.test("statusLines() says what one thread has beside several that move packets, where there is a client of it", () => {
  const worker = { receivedMessages: 1, receivedBytes: 1024, sentMessages: 1, sentBytes: 2048 };
  const workers = [worker, worker];
  const linesOf = (transport: "udp" | "faketcp") =>
    statusLines(statusOf({ workers, peers: [{ ...LAPTOP, transport }] }), PLAIN);
  const said = "  one thread has fake TCP's segments: each of its connections has one sequence";
  assert(linesOf("faketcp").includes(said), linesOf("faketcp").join("\n"));
  assert(!linesOf("udp").includes(said));
});

Deno.test("statusLines() shows who is kept out, and when access ends where it does", () => {
  const peers = [
    { ...LAPTOP, expires: "2026-11-22T12:00:00Z" },
    peerOf({ name: "off", admission: "disabled" }),
    peerOf({ name: "gone", admission: "expired", expires: "2026-11-21T10:58:00Z" }),
  ];
  const [head, ...rows] = statusLines(statusOf({ peers }), PLAIN).slice(-4);
  assertEquals(
    [head, ...rows].map((line) =>
      /(?:HANDSHAKE|ago|disabled|expired)\s.*?(\w+(?: \w+)*)$/.exec(line!)?.[1]
    ),
    ["EXPIRES", "in 1 d 1 h", "never", "2 min ago"],
  );
  assert(rows[1]!.includes("  disabled  ") && rows[2]!.includes("  expired  "), rows.join("\n"));
});

Deno.test("statusLines() names the transport, and when a missing peer was last seen", () => {
  const text = statusLines(
    statusOf({ peers: [{ ...LAPTOP, transport: "faketcp", presence: "down", silence: 75 }] }),
    PLAIN,
  ).join("\n");
  assertStringIncludes(text, "fake TCP");
  assertStringIncludes(text, "last seen 1 min 15 s ago");
});

Deno.test("statusLines() shows limits where there are any, and how rates went when asked", () => {
  const rates = new Map([[LAPTOP.publicKey, { received: 1, sent: 1, history: [1, 8] }]]);
  const status = statusOf({ peers: [{ ...LAPTOP, rateLimit: 10_000_000 }] });
  const text = statusLines(status, { ...PLAIN, rates, sparklines: true }).join("\n");
  assertStringIncludes(text, "10 Mbit/s");
  assertStringIncludes(text, "▂█");
  assert(!statusLines(statusOf({ peers: [LAPTOP] }), PLAIN).join().includes("LIMIT"));
});

Deno.test("statusLines() shows round trips where one was measured, and none of a peer that is missing", () => {
  const shown = (given: Partial<PeerStatus>) =>
    statusLines(statusOf({ peers: [{ ...LAPTOP, ...given }] }), PLAIN).join("\n");
  assertStringIncludes(shown({ roundTrip: 0.0123456 }), "12 ms");
  assertStringIncludes(shown({ roundTrip: 1.2345 }), "1235 ms");
  assertStringIncludes(shown({ roundTrip: 0.000_25 }), "0.25 ms");
  assert(!shown({ roundTrip: 0.1, presence: "down", silence: 9 }).includes(" ms"));
  assert(!shown({ roundTrip: null }).includes("RTT"));
});

Deno.test("statusLines() names the namespace that an instance was sent into", () => {
  const [line] = statusLines(statusOf({ netns: "blue" }), PLAIN);
  assertStringIncludes(line!, "vpn0  in blue, server on UDP port");
});

Deno.test("statusLines() says that a key is used twice, and where", () => {
  const peer = peerOf({
    name: "laptop",
    endpoint: "198.51.100.7:40000",
    otherEndpoint: "203.0.113.9:51820",
  });
  const lines = statusLines(statusOf({ peers: [peer, peerOf()] }), {
    colour: false,
    rates: new Map(),
    sparklines: false,
  });
  assertEquals(
    lines.filter((line) => line.includes("used twice")),
    [
      "  key used twice: laptop is at 198.51.100.7:40000 and at 203.0.113.9:51820, and each interrupts " +
      "the other: give each device its own key",
    ],
  );
});

Deno.test("statusLines() says so when there are no peers", () => {
  assertEquals(statusLines(statusOf(), PLAIN).at(-1), "  no peers");
});

Deno.test("statusLines() colours a peer by its state, and the columns stay aligned", () => {
  const peers = [
    LAPTOP,
    { ...LAPTOP, presence: "silent" as const, silence: 240 },
    { ...LAPTOP, presence: "down" as const },
    peerOf(),
  ];
  const lines = statusLines(statusOf({ peers }), { ...PLAIN, colour: true });
  const [live, silent, down, never] = lines.slice(-4);
  assertStringIncludes(live!, "\x1b[32m12 s ago\x1b[0m");
  assertStringIncludes(silent!, "\x1b[33mlast seen 4 min ago");
  assertStringIncludes(down!, "\x1b[31mlast seen");
  assertStringIncludes(never!, "\x1b[90mnever");
  // deno-lint-ignore no-control-regex -- they are control sequences
  const plain = lines.map((line) => line.replace(/\x1b\[\d+m/g, ""));
  assertEquals(plain, statusLines(statusOf({ peers }), PLAIN));
});

Deno.test("age() has the two greatest units", () => {
  assertEquals([0, 0.9, 59, 60, 61, 3600, 3661, 86_400 * 2 + 3_600 * 3 + 59].map(age), [
    ...["0 s", "0 s", "59 s", "1 min", "1 min 1 s", "1 h", "1 h 1 min", "2 d 3 h"],
  ]);
});
