/** Tests of `ffi/netlink/nftables/nftables.ts` and of the tables of `lib/host/firewall/`, as `nft` lists them. */
import { ENOENT, EPERM } from "../../../ffi/errno.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { addressOf, DEVICE, GATEWAY, layOutskirts, OUTSIDE } from "../support/outside.ts";
import {
  installIngressDrop,
  installNotrack,
  installQueue,
} from "../../../lib/host/firewall/gateway_tables.ts";
import { installFakeTcpTable } from "../../../lib/host/firewall/fake_tcp_table.ts";

import {
  FIRST_PORT,
  installDrop,
  LAST_PORT,
  MARK,
  open,
  PORTS,
  RANGE,
  TABLE,
} from "../support/nat_tables.ts";

const ROOT = new URL("../../../", import.meta.url);

const WITH_NFT = { programs: ["nft", "ip", "ping"] };
/** What `nft` lists, without comments and indentation. */
async function ruleset(namespace: TestNamespace): Promise<string> {
  const text = await namespace.output(["nft", "list", "ruleset"]);
  return text.replaceAll(/#.*$|^\s*comment "made by vpn"$/gm, "").replaceAll(/\s+/g, " ").trim();
}

/** Stands before whatever is asked of ports: later fragments have none. */
const FIRST_FRAGMENT = "ip frag-off & 8191 == 0";

const DROP_TABLE = (address: string, flags = "flags owner ") =>
  `table netdev ${TABLE} { ${flags}chain ingress { ` +
  `type filter hook ingress device "${DEVICE}" priority filter; policy accept; ` +
  `ip daddr ${address} ${FIRST_FRAGMENT} tcp dport ${FIRST_PORT}-${LAST_PORT} drop ` +
  `ip daddr ${address} ${FIRST_FRAGMENT} tcp dport 8080 drop ` +
  `ip daddr ${address} ${FIRST_FRAGMENT} udp dport ${FIRST_PORT}-${LAST_PORT} drop } }`;

netTest("installIngressDrop() makes the table that `nft` lists", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  using nftables = open(gateway);
  installDrop(nftables);
  assertEquals(await ruleset(gateway), DROP_TABLE(GATEWAY));
}, WITH_NFT);

netTest(
  "installIngressDrop() replaces the table of an address that has changed",
  async (topology) => {
    const { gateway } = await layOutskirts(topology);
    using nftables = open(gateway);
    installDrop(nftables);
    installDrop(nftables, "198.51.100.7");
    assertEquals(await ruleset(gateway), DROP_TABLE("198.51.100.7"));
  },
  WITH_NFT,
);

netTest("installNotrack() makes the table that `nft` lists", async (topology) => {
  const namespace = topology.namespace("notrack");
  using nftables = open(namespace);
  installNotrack(nftables, { table: TABLE, mark: MARK });
  assertEquals(
    await ruleset(namespace),
    `table inet ${TABLE} { flags owner chain output { ` +
      "type filter hook output priority raw; policy accept; meta mark 0x00005650 notrack } }",
  );
}, WITH_NFT);

netTest(
  "installFakeTcpTable() makes the table that `nft` lists, and replaces it",
  async (topology) => {
    const namespace = topology.namespace("transport");
    using nftables = open(namespace);
    const chains = (input: string, output: string, family = "ip") =>
      `table ${family} ${TABLE} { flags owner ` +
      `chain input { type filter hook input priority raw; policy accept; ${input} drop } ` +
      `chain output { type filter hook output priority raw; policy accept; ${output} notrack } }`;
    const single = { first: 443, last: 443 };
    const table = { family: "ip", name: TABLE } as const;
    installFakeTcpTable(nftables, table, { ports: single, remote: null });
    assertEquals(
      await ruleset(namespace),
      chains(`${FIRST_FRAGMENT} tcp dport 443`, `${FIRST_FRAGMENT} tcp sport 443`),
    );
    const remote = { address: addressOf(OUTSIDE), port: 443 };
    installFakeTcpTable(nftables, table, { ports: RANGE, remote });
    const range = `${FIRST_PORT}-${LAST_PORT}`;
    assertEquals(
      await ruleset(namespace),
      chains(
        `ip saddr ${OUTSIDE} ${FIRST_FRAGMENT} tcp sport 443 tcp dport ${range}`,
        `ip daddr ${OUTSIDE} ${FIRST_FRAGMENT} tcp sport ${range} tcp dport 443`,
      ),
    );
    nftables.deleteTable(table);
    const table6 = { family: "ip6", name: TABLE } as const;
    const server6 = { address: "2001:db8::1", port: 443 };
    installFakeTcpTable(nftables, table6, { ports: RANGE, remote: server6 });
    assertEquals(
      await ruleset(namespace),
      chains(
        `ip6 saddr 2001:db8::1 tcp sport 443 tcp dport ${range}`,
        `ip6 daddr 2001:db8::1 tcp sport ${range} tcp dport 443`,
        "ip6",
      ),
    );
    // By IPv4 again: nothing of the other family is the tunnel's.
    installFakeTcpTable(nftables, table6, { ports: RANGE, remote });
    assert(!/drop|notrack/.test(await ruleset(namespace)));
  },
  WITH_NFT,
);

netTest("installQueue() makes the table that `nft` lists", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  using nftables = open(gateway);
  const address = addressOf(GATEWAY);
  installQueue(nftables, { table: TABLE, device: DEVICE, address, ports: PORTS, queue: 7 });
  const match = `iifname "${DEVICE}" ip daddr ${GATEWAY}`;
  assertEquals(
    await ruleset(gateway),
    `table ip ${TABLE} { flags owner chain prerouting { ` +
      "type filter hook prerouting priority raw; policy accept; " +
      `${match} ip frag-off & 8191 != 0 queue num 8 ` +
      `${match} meta l4proto icmp queue num 8 ` +
      `${match} ${FIRST_FRAGMENT} tcp dport ${FIRST_PORT}-${LAST_PORT} queue num 7 ` +
      `${match} ${FIRST_FRAGMENT} tcp dport 8080 queue num 7 ` +
      `${match} ${FIRST_FRAGMENT} udp dport ${FIRST_PORT}-${LAST_PORT} queue num 7 } }`,
  );
}, WITH_NFT);

netTest("owned tables go with the object, whatever else is there stays", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  await gateway.output(["nft", "-f", "-"], {
    stdin: `add table inet ${TABLE}\n` +
      `add chain inet ${TABLE} input { type filter hook input priority 0 ; }\n` +
      "add table ip mine\nadd set ip mine s { type ipv4_addr ; }\n" +
      "add element ip mine s { 192.0.2.3 }\n",
  });
  const before = await gateway.output(["nft", "list", "ruleset"]);
  const nftables = open(gateway);
  assertEquals(nftables.ownsTables, true);
  installDrop(nftables);
  installFakeTcpTable(nftables, { family: "ip", name: TABLE }, { ports: RANGE, remote: null });
  assert(await gateway.output(["nft", "list", "ruleset"]) !== before);
  nftables[Symbol.dispose]();
  assertEquals(await gateway.output(["nft", "list", "ruleset"]), before);
}, WITH_NFT);

netTest("owned tables survive `nft flush ruleset`, and EPERM meets others", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  using nftables = open(gateway);
  installDrop(nftables);
  await gateway.output(["nft", "flush", "ruleset"]);
  assertEquals(await ruleset(gateway), DROP_TABLE(GATEWAY));
  using other = open(gateway);
  for (
    const call of [
      () => other.deleteTable({ family: "netdev", name: TABLE }),
      () => installDrop(other),
    ]
  ) {
    const error = assertThrows(call, NetlinkError);
    assertEquals(error.errno, EPERM);
    assertMatch(error.message, /^Cannot delete nftables table netdev "vpn_wg0": operation not/);
  }
}, WITH_NFT);

netTest("owned tables go when their process is killed", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  const script = `
    import { openLibc } from "${new URL("ffi/libc.ts", ROOT)}";
    import { Nftables } from "${new URL("ffi/netlink/nftables/nftables.ts", ROOT)}";
    import { installNotrack } from "${new URL("lib/host/firewall/gateway_tables.ts", ROOT)}";
    installNotrack(Nftables.open(openLibc()), { table: "${TABLE}", mark: ${MARK} });
    console.log("installed");
    setTimeout(() => {}, 60_000);`;
  const process = gateway.spawn([Deno.execPath(), "eval", script]);
  await process.waitFor(/installed/);
  assertMatch(await ruleset(gateway), /notrack/);
  process.signal("SIGKILL");
  await process.status;
  assertEquals(await ruleset(gateway), "");
}, WITH_NFT);

netTest("tables that are not owned stay until they are deleted", async (topology) => {
  const { gateway } = await layOutskirts(topology);
  const before = await gateway.output(["nft", "list", "ruleset"]);
  const first = open(gateway, { owned: false });
  assertEquals(first.ownsTables, false);
  installDrop(first);
  installNotrack(first, { table: TABLE, mark: MARK });
  first[Symbol.dispose]();
  using second = open(gateway);
  assertEquals(second.listTables(), [
    { family: "netdev", name: TABLE },
    { family: "inet", name: TABLE },
  ]);
  // What a killed process left behind is replaced, and then goes with its new owner.
  installDrop(second);
  assertMatch(await ruleset(gateway), /table netdev vpn_wg0 \{ flags owner/);
  for (const { family, name } of second.listTables()) second.deleteTable({ family, name });
  assertEquals(await gateway.output(["nft", "list", "ruleset"]), before);
}, WITH_NFT);

netTest("deleteTable() deletes in the family it is given, and nothing twice", async (topology) => {
  const namespace = topology.namespace("delete");
  await namespace.output(["nft", "add table ip t; add table ip6 t; add table bridge t"]);
  using nftables = open(namespace);
  nftables.deleteTable({ family: "ip6", name: "t" });
  nftables.deleteTable({ family: "ip6", name: "t" });
  nftables.deleteTable({ family: "arp", name: "t" });
  assertEquals(nftables.listTables(), [
    { family: "ip", name: "t" },
    { family: "bridge", name: "t" },
  ]);
}, WITH_NFT);

netTest(
  "a table of which one rule is refused is not made, nor the former one lost",
  async (topology) => {
    const { gateway } = await layOutskirts(topology);
    using nftables = open(gateway);
    installDrop(nftables);
    const before = await ruleset(gateway);
    const error = assertThrows(
      () =>
        installIngressDrop(nftables, {
          table: TABLE,
          device: "a".repeat(20),
          address: 1,
          ports: PORTS,
        }),
      NetlinkError,
    );
    assert(error.errno !== ENOENT, error.message);
    assertMatch(
      error.message,
      /^Cannot add nftables table netdev "vpn_wg0", chain ingress for inter/,
    );
    assertEquals(await ruleset(gateway), before);
  },
  WITH_NFT,
);
