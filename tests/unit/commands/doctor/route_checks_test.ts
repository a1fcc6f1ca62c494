/**
 * Tests of `lib/commands/doctor/route_checks.ts`: whether a server's answers pass a strict reverse-path filter, by the
 * rules there are.
 */
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { CLIENT_TUNNEL } from "../../../support/doctor/conditions.ts";
import { firewall, type Name } from "../../../support/doctor/recorded.ts";
import { peerOf, statusOf } from "../../../support/status/statuses.ts";
import { configText, newIdentity } from "../../../net/support/config.ts";
import type { Verdict } from "../../../../lib/commands/doctor/check.ts";
import { judgeMarks } from "../../../../lib/commands/doctor/route_checks.ts";
import type { Subject } from "../../../../lib/commands/doctor/subject.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateClient } from "../../../../lib/core/config/roles.ts";

const SERVER_KEY = newIdentity().publicKey;
const CLIENT = validateClient(parseConfig(
  configText(
    { PrivateKey: newIdentity().privateKey, Address: "10.66.77.2/24" },
    { PublicKey: SERVER_KEY, Endpoint: "vpn.example.net:51820", AllowedIPs: "0.0.0.0/0" },
  ),
  "client.conf",
));

/** A client that runs with a full tunnel, on a host that reaches its server by eth0. */
function judge(name: Name, transport: "udp" | "faketcp" = "udp"): Promise<Verdict> {
  const server = peerOf({ publicKey: SERVER_KEY, endpoint: "192.0.2.1:51820", transport });
  const status = statusOf({ role: "client", listenPort: CLIENT_TUNNEL.port, peers: [server] });
  const subject = {
    instance: { isOurs: true },
    options: { interfaceName: CLIENT_TUNNEL.interfaceName },
    netlink: {
      routes: { lookup: () => ({ link: 7, preferredSource: Uint8Array.of(192, 0, 2, 2) }) },
      links: { find: () => ({ name: "eth0" }) },
    },
    running: () => Promise.resolve({ kind: "known", status }),
    firewall: () => Promise.resolve(firewall(name)),
  } as unknown as Subject;
  return judgeMarks(subject, CLIENT, { where: "rp_filter is strict on eth0", loosen: "`it`" });
}

Deno.test("the table that marks a server's answers is ok as long as they come marked to the filter", async () => {
  for (
    const name of [
      "the return path",
      "the return path beside marks of others",
      "the return path without its last chain",
    ] as const
  ) assertEquals((await judge(name)).status, "ok", name);
});

Deno.test("a table that is gone, or does not mark the server's answers, is not ok: they are dropped", async () => {
  for (
    const [name, words] of [
      ["the return path, its table gone", /come to it with no mark, so they are dropped/],
      ["the return path, its rules gone", /come to it with no mark, so they are dropped/],
      ["the return path without its last chain beside marks of others", /with another mark than/],
      ["the return path in front of marks of others", /with another mark than the tunnel's/],
    ] as const
  ) {
    const { status, why, remedy } = await judge(name);
    assertEquals(status, "fail", name);
    assertMatch(why, words);
    assertMatch(why, /the table ip vpn_vpn0_return is gone or was changed/);
    assertMatch(remedy!, /restart the client, or `it`$/);
  }
});

Deno.test("answers by fake TCP are taken in front of the filter, whatever the table is", async () => {
  assertEquals((await judge("the return path, its table gone", "faketcp")).status, "ok");
});
