/** Tests of `lib/commands/doctor/running_checks.ts`: what is made of what a running instance says of itself. */
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import {
  differencesOf,
  judgePeers,
  RUNNING_CHECKS,
} from "../../../../lib/commands/doctor/running_checks.ts";
import type { Subject } from "../../../../lib/commands/doctor/subject.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { configText, newIdentity } from "../../../net/support/config.ts";
import { peerOf, statusOf } from "../../../support/status/statuses.ts";

const OWN = newIdentity();
const PEER = newIdentity();

function config(address = "10.66.77.1/24", port = 51_820) {
  const text = configText(
    { PrivateKey: OWN.privateKey, Address: address, ListenPort: port },
    { PublicKey: PEER.publicKey, AllowedIPs: "10.66.77.2/32" },
  );
  return parseConfig(text, "server.conf");
}

const STATUS = statusOf({
  publicKey: encodeKey(config().interface.publicKey),
  peers: [peerOf({ publicKey: PEER.publicKey })],
});

Deno.test("a file that was edited since the start is told from one that still says what runs", () => {
  assertEquals(differencesOf(config(), STATUS), []);
  assertEquals(differencesOf(config("10.9.9.1/24"), STATUS), ["it has the address 10.66.77.1/24"]);
  assertEquals(differencesOf(config("10.66.77.1/24", 4_500), STATUS), ["it listens on port 51820"]);
  assertEquals(differencesOf(config(), { ...STATUS, publicKey: newIdentity().publicKey }), [
    "it has another PrivateKey",
  ]);
  const other = peerOf({ publicKey: newIdentity().publicKey });
  assertEquals(differencesOf(config(), { ...STATUS, peers: [other] }), [
    "1 of the file's peers are missing",
    "1 of its peers are not in the file",
  ]);
});

Deno.test("a gateway with a store is judged by how that is reached, and not by the peers of its file", async () => {
  const store = {
    servers: ["tls://nats-a:4222"],
    connected: true,
    server: "nats-a:4222",
    replicas: 3,
    lastContact: "2027-01-31T18:00:00.000Z",
    problem: null as string | null,
    revision: "7",
    leftOut: 0,
    admitsNew: true,
    virtualAddress: null,
  };
  const other = peerOf({ publicKey: newIdentity().publicKey });
  assertEquals(differencesOf(config(), { ...STATUS, store, peers: [other] }), []);
  const look = async (given: Partial<typeof store>) => {
    const status = { ...STATUS, store: { ...store, ...given } };
    const running = () => Promise.resolve({ kind: "known", status });
    const check = RUNNING_CHECKS.find(({ name }) => name === "running-store")!;
    const [verdict] = await check.look({ running } as unknown as Subject);
    return [verdict!.status, verdict!.why];
  };
  assertEquals((await look({}))[0], "ok");
  assertEquals(await look({ connected: false, problem: "connection refused" }), [
    "warn",
    "the store was last reached at 2027-01-31T18:00:00.000Z: connection refused: peers cannot be changed meanwhile",
  ]);
  assertEquals((await look({ connected: false, admitsNew: false }))[0], "fail");
  assertEquals(await look({ leftOut: 2 }), ["warn", "2 entries of the store cannot be used"]);
});

Deno.test("what a tunnel says it is without is a failure, in its own words", async () => {
  const look = (given: Parameters<typeof statusOf>[0]) => {
    const running = { kind: "known", status: { ...STATUS, ...given } };
    const subject = {
      role: "server",
      options: { interfaceName: "vpn0" },
      running: () => Promise.resolve(running),
    } as unknown as Subject;
    return RUNNING_CHECKS.find(({ name }) => name === "running")!.look(subject);
  };
  assertEquals((await look({})).map(({ status }) => status), ["ok"]);
  const missing = ["table ip vpn_vpn0_return", "a route to the internet"];
  const [verdict] = await look({ state: "degraded", missing });
  assertEquals(verdict!.status, "fail");
  assertEquals(
    verdict!.why,
    "vpn0 is degraded, without table ip vpn_vpn0_return, a route to the internet",
  );
});

Deno.test("a client whose server is silent, or was never seen, is not ok", () => {
  const judge = (given: Parameters<typeof peerOf>[0]) =>
    judgePeers(statusOf({ role: "client", peers: [peerOf(given)] }));
  assertEquals(judge({ presence: "up", silence: 1 }).map(({ status }) => status), ["ok"]);
  for (const presence of ["silent", "down"] as const) {
    const [verdict] = judge({ presence, silence: 42 });
    assertEquals(verdict!.status, "fail");
    assertMatch(verdict!.why, /was last seen 42 s ago/);
  }
  assertMatch(judge({ presence: "never" })[0]!.why, /was never seen/);
});

Deno.test("a gateway's peers may be away; a key in two places is a failure of that peer", () => {
  const [away, shared] = [
    peerOf({ presence: "never" }),
    peerOf({ name: "laptop", presence: "up", otherEndpoint: "203.0.113.9:51820" }),
  ];
  assertEquals(judgePeers(statusOf({ peers: [away] })).map(({ why }) => why), [
    "0 of 1 peers are up",
  ]);
  const verdicts = judgePeers(statusOf({ peers: [away, shared] }));
  assertEquals(verdicts.map(({ status }) => status), ["fail"]);
  assertMatch(verdicts[0]!.why, /^laptop's key is used by two hosts, .*203\.0\.113\.9:51820/);
});
