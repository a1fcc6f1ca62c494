/** Tests of `lib/services/dns_proxy/peer_names.ts`: which addresses the names of peers have. */
import { parse } from "../../../../lib/core/dns/message.ts";
import { parseCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import { PeerNames } from "../../../../lib/services/dns_proxy/peer_names.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
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

/** Names of a gateway with many peers, and how often any peer's name has been read. */
class Crowd {
  reads = 0;
  peers: Map<string, { name: string; allowedIps: never[]; allowedIps6: string[] }>;
  readonly names: PeerNames;

  constructor(count: number) {
    this.peers = new Map(
      Array.from({ length: count }, (_, i) => [`key${i}`, this.peer(`peer-${i}`, i)]),
    );
    this.names = new PeerNames({
      domain: "vpn",
      addresses: [parseCidr("10.66.77.1/24")!],
      addresses6: ["fd00:77::1/64"],
      peers: () => this.peers,
    });
  }

  peer(name: string, index: number) {
    const read = () => this.reads++;
    return {
      get name() {
        read();
        return name;
      },
      allowedIps: [],
      allowedIps6: [`fd00:77::${(index + 2).toString(16)}/128`],
    };
  }

  /** The code of the answer, and how many addresses. */
  ask(name: string): number[] {
    const query = buildQuery({ name, type: TYPE_AAAA });
    const answer = this.names.answer(query, parse(query)!, 512)!;
    return [answer[3]! & 0xf, answer[7]!];
  }
}

Deno.test("where thousands of peers are others at once, a query waits for few of them, and none is denied", async () => {
  const crowd = new Crowd(3_000);
  assertEquals(crowd.ask("peer-2999.vpn"), [2, 0]);
  assert(crowd.reads <= 600, `${crowd.reads} names were read`);
  await crowd.names.settled();
  assertEquals(crowd.ask("peer-2999.vpn"), [0, 1]);
  assertEquals(crowd.ask("gateway.vpn"), [0, 1]);
  assertEquals(crowd.ask("nobody.vpn"), [3, 0]);
  // All are others, and again others before these have been read.
  const others = (prefix: string) =>
    new Map(
      Array.from({ length: 2_000 }, (_, i) => [`key${i}`, crowd.peer(`${prefix}-${i}`, i)]),
    );
  crowd.peers = others("old");
  crowd.ask("old-1.vpn");
  crowd.peers = others("new");
  crowd.reads = 0;
  crowd.ask("new-1.vpn");
  assert(crowd.reads <= 1_200, `${crowd.reads} names were read`);
  await crowd.names.settled();
  const asked = ["new-1999.vpn", "old-1.vpn", "peer-1.vpn", "peer-2999.vpn"];
  assertEquals(asked.map((name) => crowd.ask(name)), [[0, 1], [3, 0], [3, 0], [3, 0]]);
});

Deno.test("of thousands of peers, the one that has changed is read alone, and at once", async () => {
  const crowd = new Crowd(3_000);
  await crowd.names.settled();
  crowd.reads = 0;
  crowd.peers = new Map(crowd.peers).set("key7", crowd.peer("late", 7));
  assertEquals(crowd.ask("late.vpn"), [0, 1]);
  assertEquals(crowd.ask("peer-7.vpn"), [3, 0]);
  assert(crowd.reads <= 8, `${crowd.reads} names were read`);
});
