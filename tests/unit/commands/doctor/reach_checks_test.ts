/** Tests of what is said of a client's way to its server where it has several endpoints. */
import { configText, newIdentity } from "../../../net/support/config.ts";
import { REACH_CHECKS } from "../../../../lib/commands/doctor/reach_checks.ts";
import type { EndpointReach, Reach } from "../../../../lib/commands/doctor/reach.ts";
import type { Subject } from "../../../../lib/commands/doctor/subject.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateClient } from "../../../../lib/core/config/roles.ts";
import { assertEquals } from "../../../support/assert.ts";

const CLIENT = validateClient(parseConfig(
  configText(
    { PrivateKey: newIdentity().privateKey, Address: "10.66.77.2/32" },
    {
      PublicKey: newIdentity().publicKey,
      Endpoint: "192.0.2.1:51820\nEndpoint = [2001:db8::1]:443",
      AllowedIPs: "0.0.0.0/0",
    },
  ),
  "client.conf",
));

function tried(index: number, isAnswered: boolean): EndpointReach {
  const endpoint = CLIENT.endpoints[index]!;
  const path = isAnswered ? { wanted: 1480, passed: 1480, isKnown: true } : null;
  const reach: Reach = {
    kind: "tried",
    address: endpoint.address!,
    handshake: isAnswered
      ? { kind: "answered", time: 5 }
      : { kind: "refused", reason: "port unreachable" },
    pings: true,
    refusesOthers: false,
    path,
  };
  const server = { ...CLIENT.server, endpoint, otherEndpoints: [] };
  return { client: { ...CLIENT, server, endpoints: [endpoint] }, reach };
}

/** What a check says, as `STATUS WHY`. */
async function said(name: string, ...ways: readonly EndpointReach[]): Promise<string[]> {
  const subject = { client: CLIENT, ways: () => Promise.resolve(ways) } as unknown as Subject;
  const verdicts = await REACH_CHECKS.find((check) => check.name === name)!.look(subject);
  return verdicts.map(({ status, why }) => `${status} ${why}`);
}

Deno.test("each endpoint is told of, and one without an answer is a failure only where no other answers", async () => {
  assertEquals(
    await said("handshake", tried(0, false), tried(1, true)),
    [
      "warn no program listens at 192.0.2.1:51820 (UDP): port unreachable",
      "ok [2001:db8::1]:443 (UDP) answered in 5 ms: the keys match",
    ],
  );
  assertEquals(await said("handshake", tried(0, false), tried(1, false)), [
    "fail no program listens at 192.0.2.1:51820 (UDP): port unreachable",
    "fail no program listens at [2001:db8::1]:443 (UDP): port unreachable",
  ]);
});

Deno.test("of several endpoints, what is said of a path names its own", async () => {
  const [verdict] = await said("path-mtu", tried(1, true));
  assertEquals(verdict?.startsWith("ok [2001:db8::1]:443: the path carries"), true, verdict);
});
