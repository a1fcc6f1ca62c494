/** Tests of access rules in a file, and of lib/core/config/text/access_references.ts: what they name. */
import { BadValueError } from "../../../../../lib/core/config/config_error.ts";
import type { Config } from "../../../../../lib/core/config/config.ts";
import { parseConfig } from "../../../../../lib/core/config/parse_config.ts";
import { assertEquals, assertThrows } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const OWN = sampleKeys(1);
const PEER = sampleKeys(2);

function parsePeer(...lines: string[]): Config {
  const head = ["[Interface]", `PrivateKey = ${OWN.privateKey}`];
  const peer = ["[Peer]", `PublicKey = ${PEER.publicKey}`];
  return parseConfig([...head, ...peer, ...lines].join("\n"), "t.conf");
}

Deno.test("parseConfig() reads access rules of groups, and puts those of one peer's sections together", () => {
  const internet = { target: { kind: "internet" }, services: [] } as const;
  const lan = { target: { kind: "lan" }, services: [] } as const;
  const { peers, groups } = parsePeer(
    "Allow = internet",
    "[Group]",
    "Name = staff",
    "Allow = internet",
    "Allow = lan",
    "Deny = group:staff",
    "[Peer]",
    `PublicKey = ${PEER.publicKey}`,
    "Allow = lan",
    "Deny = lan",
  );
  assertEquals([peers[0]!.allow, peers[0]!.deny], [[internet, lan], [lan]]);
  assertEquals(groups[0]!.allow, [internet, lan]);
  assertEquals(groups[0]!.deny, [{ target: { kind: "group", name: "staff" }, services: [] }]);
});

Deno.test("parseConfig() refuses a rule about a group that is not there, and warns of one about a peer", () => {
  const group = ["[Group]", "Name = staff"];
  assertThrows(
    () => parsePeer("Allow = @stafff", ...group),
    BadValueError,
    '[Peer]: Allow: cannot use "group:stafff": did you mean "staff"?',
  );
  assertThrows(
    () => parsePeer(...group, "Deny = @x"),
    BadValueError,
    '[Group]: Deny: cannot use "group:x": there is no [Group] with Name = x',
  );
  const { warnings } = parsePeer("Name = a", "Allow = peer:a, peer:b");
  assertEquals(warnings, [
    't.conf:3: [Peer]: Allow: there is no peer "b": the rule has no effect',
  ]);
});
