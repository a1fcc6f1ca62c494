/** Tests of `lib/commands/doctor/firewall_checks.ts`: what is said of a firewall that keeps a tunnel from working. */
import { assert, assertEquals, assertMatch } from "../../../support/assert.ts";
import { firewall, type Name } from "../../../support/doctor/recorded.ts";
import { configText, newIdentity } from "../../../net/support/config.ts";
import {
  checkForwarding,
  FIREWALL_CHECKS,
} from "../../../../lib/commands/doctor/firewall_checks.ts";
import type { Subject } from "../../../../lib/commands/doctor/subject.ts";
import type { Verdict } from "../../../../lib/commands/doctor/check.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateClient } from "../../../../lib/core/config/roles.ts";

const CLIENT = validateClient(parseConfig(
  configText(
    { PrivateKey: newIdentity().privateKey, Address: "10.66.77.2/24" },
    {
      PublicKey: newIdentity().publicKey,
      Endpoint: "192.0.2.1:51820",
      AllowedIPs: "0.0.0.0/0",
    },
  ),
  "client.conf",
));

/** The subject of a client with a full tunnel, on a host that reaches its server by eth0. */
function subject(name: Name): Subject {
  return {
    client: CLIENT,
    running: () => Promise.resolve({ kind: "none" }),
    server: null,
    options: { interfaceName: "vpn0" },
    netlink: {
      routes: { lookup: () => ({ link: 7, preferredSource: Uint8Array.of(192, 0, 2, 2) }) },
      links: { find: () => ({ name: "eth0" }) },
    },
    firewall: () => Promise.resolve(firewall(name)),
    command: (text: string) => `\`${text}\``,
  } as unknown as Subject;
}

async function look(check: string, name: Name): Promise<Verdict> {
  const [verdict] = await FIREWALL_CHECKS.find((each) => each.name === check)!.look(subject(name));
  assert(verdict !== undefined, `${check} says nothing`);
  return verdict;
}

Deno.test("a policy that drops what this host sends is found: towards the server, and into the tunnel", async () => {
  const name = "output without what is established";
  const outside = await look("answer-firewall", name);
  assertEquals(outside.status, "fail");
  assertMatch(outside.why, /^the firewall \(inet out output\) drops the client's packets/);
  assertMatch(outside.remedy!, /^`nft insert rule inet out output udp dport 51820 accept`/);
  const inside = await look("tunnel-firewall", name);
  assertEquals(inside.status, "warn");
  assertMatch(inside.why, /drops packets of programs through vpn0/);
});

Deno.test("a firewall that lets a client's packets pass is no alarm", async () => {
  for (const check of ["input-firewall", "answer-firewall", "tunnel-firewall"]) {
    assertEquals((await look(check, "invalid packets are dropped")).status, "ok", check);
    assertEquals((await look(check, "the way back by the mark")).status, "ok", check);
  }
});

Deno.test("a reverse-path filter that counts no marks drops the answers to a full tunnel", async () => {
  const verdict = await look("input-firewall", "the way back");
  assertEquals(verdict.status, "fail");
  assertMatch(verdict.why, /^the firewall \(inet pre pre\) drops the server's answers: rule \d+/);
});

Deno.test("a program that decides on packets by itself is a warning", async () => {
  const verdict = await look("input-firewall", "a program's queue");
  assertEquals(verdict.status, "warn");
  assertMatch(verdict.why, /passes to another program .*: that program decides/);
});

Deno.test("a gateway that the kernel is to translate for is not ok on a kernel without nf_tables", () => {
  const server = { interface: { egress: "kernel" } } as Subject["server"];
  const [verdict] = checkForwarding({ server, instance: null }, () => false);
  assertEquals(verdict?.status, "fail");
  assertMatch(verdict!.why, /^Egress = kernel, but this kernel has no nf_tables/);
});
