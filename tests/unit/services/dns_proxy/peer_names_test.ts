/** Tests of `lib/services/dns_proxy/peer_names.ts`: which addresses the names of peers have. */
import { parse } from "../../../../lib/core/dns/message.ts";
import { parseCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import { PeerNames } from "../../../../lib/services/dns_proxy/peer_names.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildQuery } from "../../../support/dns/messages.ts";

const TYPE_A = 1;
const TYPE_AAAA = 28;

/** The last bytes of the addresses that a name has, for a gateway with these addresses of IPv6. */
function asked(name: string, type: number, ...addresses6: string[]): number[] {
  const peers = new Map([["key", {
    name: "laptop",
    allowedIps: [parseCidr("10.66.77.2/32")!, parseCidr("10.9.0.0/16")!],
    allowedIps6: ["fd00:77::3/128", "fd00:9::/64"],
  }]]);
  const names = new PeerNames({
    domain: "vpn",
    addresses: [parseCidr("10.66.77.1/24")!],
    addresses6,
    peers: () => peers,
  });
  const query = buildQuery({ name, type });
  const answer = names.answer(query, parse(query)!, 512)!;
  const count = new DataView(answer.buffer).getUint16(6);
  const size = 12 + (type === TYPE_A ? 4 : 16);
  const { questionEnd } = parse(answer)!;
  return Array.from({ length: count }, (_, i) => answer[questionEnd + size * (i + 1) - 1]!);
}

Deno.test("peers and the gateway have their single addresses of both families", () => {
  assertEquals(asked("laptop.vpn", TYPE_A, "fd00:77::9/64"), [2]);
  assertEquals(asked("laptop.vpn", TYPE_AAAA, "fd00:77::9/64"), [3]);
  assertEquals(asked("gateway.vpn", TYPE_AAAA, "fd00:77::9/64"), [9]);
});

Deno.test("where the tunnel carries no IPv6, no name has an address of it", () => {
  assertEquals(asked("laptop.vpn", TYPE_AAAA), []);
  assertEquals(asked("laptop.vpn", TYPE_A), [2]);
});
