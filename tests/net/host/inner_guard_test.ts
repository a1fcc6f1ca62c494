/**
 * Tests of `lib/host/firewall/inner_guard.ts`: inner addresses, and the services there, are reached from the tunnel and
 * from the host itself, and by no other interface.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { hostState } from "../support/host_state.ts";
import { configText, newIdentity } from "../support/config.ts";
import { capture, ping } from "../support/traffic/traffic.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn } from "../support/programs/vpn.ts";
import { eventually, PATIENCE } from "../../support/time/patience.ts";
import {
  addIpv6,
  CABLE,
  carrierOn,
  CLIENT_INSIDE,
  CLIENT_OUTSIDE,
  layWire,
  SERVER_INSIDE,
  SERVER_OUTSIDE6,
} from "../support/wire.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const PROGRAMS = ["ip", "sysctl", "nft", "dig", "curl"];
/** Of curl: nobody listens, which is an answer; none came. */
const REFUSED = 7;
const TIMED_OUT = 28;
const ADDRESS = "198.51.100.77";
/** By which a neighbour is joined to each end. */
const LAN = "lan0";

/** Seconds for an answer where there is to be none, and where there is, on a busy machine. */
const SHORT = 1;
const LONG = 60;

/** Asks the DNS service at a server's inner address; what it says, or null where nothing comes back. */
async function lookUp(
  from: TestNamespace,
  { server = SERVER_INSIDE, limit }: { readonly server?: string; readonly limit: number },
): Promise<string | null> {
  const command = ["dig", `@${server}`, "+short", "+tries=1", `+time=${limit}`, "www.example"];
  const { code, stdout } = await from.run(command, { timeoutMs: limit * 1000 + PATIENCE });
  return code === 0 ? stdout.trim() : null;
}

/** What curl ends with. */
async function connect(from: TestNamespace, target: string, limit: number): Promise<number> {
  const command = ["curl", "-s", "-o", "/dev/null", "-m", `${limit}`, `http://${target}/metrics`];
  return (await from.run(command, { timeoutMs: limit * 1000 + PATIENCE })).code;
}

/** How many packets each rule of a host's inner guard has dropped, by family. */
async function dropped(host: TestNamespace): Promise<{ ip: number; arp: number }> {
  const count = async (family: string) => {
    const text = await host.output(["nft", "list", "table", family, "vpn_vpn0_inner"]);
    return Number(/counter packets (\d+)/.exec(text)?.[1]);
  };
  return { ip: await count("ip"), arp: await count("arp") };
}

netTest(
  "a neighbour on a link reaches no service at an inner address, nor learns who has it",
  async (topology) => {
    const { server, client } = await layWire(topology);
    const neighbour = topology.namespace("neighbour");
    for (const [index, host] of [server, client].entries()) {
      const [there, here] = [`198.18.${index}.1/24`, `198.18.${index}.2/24`];
      topology.cable(
        { namespace: neighbour, name: `eth${index}`, address: there },
        { namespace: host, name: LAN, address: here },
      );
      await carrierOn(host, LAN);
      await carrierOn(neighbour, `eth${index}`);
    }
    await neighbour.output(["ip", "-batch", "-"], {
      stdin:
        `route add ${SERVER_INSIDE} via 198.18.0.2\nroute add ${CLIENT_INSIDE} via 198.18.1.2\n`,
    });
    using _upstream = new DnsServer(neighbour, ["198.18.0.1"], ({ query }) => [
      buildAnswer(query, { answers: [{ data: addressData(ADDRESS) }] }),
    ]);
    const before = await Promise.all([server, client].map(hostState));
    const tunnel = simpleTunnel();
    const metrics = `${SERVER_INSIDE}:9586`;
    const services = { DnsProxy: "198.18.0.1", Metrics: metrics };
    const gateway = await startVpn("server", server, tunnel.server(services));
    const laptop = await startVpn("client", client, tunnel.client());

    for (const host of [client, server]) {
      assertEquals(await lookUp(host, { limit: LONG }), ADDRESS);
      assertEquals(await connect(host, metrics, LONG), 0);
    }
    assertEquals(await dropped(server), { ip: 0, arp: 0 });
    assertEquals(await lookUp(neighbour, { limit: SHORT }), null);
    assertEquals(await connect(neighbour, metrics, SHORT), TIMED_OUT);
    // A closed port of the client: without the guard its host refuses, which tells that the address is there.
    assertEquals(await connect(client, `${CLIENT_INSIDE}:9`, LONG), REFUSED);
    assertEquals(await connect(server, `${CLIENT_INSIDE}:9`, LONG), REFUSED);
    assertEquals(await connect(neighbour, `${CLIENT_INSIDE}:9`, SHORT), TIMED_OUT);
    for (const host of [server, client]) assert((await dropped(host)).ip > 0);

    // The other way to learn it: anyone who has the address answers ARP.
    await neighbour.output(["ip", "route", "replace", CLIENT_INSIDE, "dev", "eth1"]);
    assert(await connect(neighbour, `${CLIENT_INSIDE}:9`, SHORT) !== REFUSED);
    assert((await dropped(client)).arp > 0);
    const known = await neighbour.output(["ip", "neighbour", "show", CLIENT_INSIDE]);
    assertMatch(known, /INCOMPLETE|FAILED/);

    await endWell(laptop);
    await endWell(gateway);
    assertEquals(await Promise.all([server, client].map(hostState)), before);
  },
  { programs: PROGRAMS },
);

netTest(
  "an address that the LAN has as well is the host's there, but for the tunnel's services, also when it comes later",
  async (topology) => {
    const { server, client } = await layWire(topology);
    const neighbour = topology.namespace("neighbour");
    topology.cable(
      { namespace: neighbour, name: "eth0", address: "10.66.77.200/24" },
      { namespace: server, name: LAN, address: "198.18.0.2/24" },
    );
    await carrierOn(server, LAN);
    await carrierOn(neighbour, "eth0");
    const lend = (host: TestNamespace, device: string, address: string, ...lease: string[]) =>
      host.output(["ip", "address", "add", `${address}/32`, "dev", device, ...lease]);
    // As on a router whose tunnel borrows the address of the LAN; the route back is the LAN's.
    await lend(server, LAN, SERVER_INSIDE);
    await server.output(["ip", "route", "add", "10.66.77.200", "dev", LAN]);
    const tunnel = simpleTunnel();
    const config = tunnel.server({
      Address: `${SERVER_INSIDE}/32`,
      DnsProxy: "198.18.0.1",
      Metrics: `${SERVER_INSIDE}:9586`,
    });
    const gateway = await startVpn("server", server, config);

    assertEquals(await connect(neighbour, `${SERVER_INSIDE}:9`, LONG), REFUSED);
    assertEquals(await connect(neighbour, `${SERVER_INSIDE}:9586`, SHORT), TIMED_OUT);
    assertEquals(await connect(neighbour, `${SERVER_INSIDE}:53`, SHORT), TIMED_OUT);
    assertEquals(await lookUp(neighbour, { limit: SHORT }), null);

    // It is followed: gone from the LAN, it is guarded whole; there again, it is the host's again.
    await server.output(["ip", "address", "delete", `${SERVER_INSIDE}/32`, "dev", LAN]);
    await neighbour.output(["ip", "neighbour", "flush", "all"]);
    await neighbour.output([
      "ip",
      "route",
      "add",
      SERVER_INSIDE,
      "via",
      "198.18.0.2",
      "onlink",
      "dev",
      "eth0",
    ]);
    const ends = (code: number) =>
      eventually(async () =>
        await connect(neighbour, `${SERVER_INSIDE}:9`, SHORT) === code || null
      );
    await ends(TIMED_OUT);
    await lend(server, LAN, SERVER_INSIDE);
    await ends(REFUSED);
    await endWell(gateway);

    // Of a client, a lease on a hostile network opens nothing.
    await startVpn("server", server, tunnel.server());
    await startVpn("client", client, tunnel.client());
    await lend(client, "eth0", CLIENT_INSIDE, "valid_lft", "600", "preferred_lft", "600");
    await server.output(["ip", "route", "replace", CLIENT_INSIDE, "via", CLIENT_OUTSIDE]);
    assertEquals(await connect(server, `${CLIENT_INSIDE}:9`, SHORT), TIMED_OUT);
    await client.output(["ip", "address", "delete", `${CLIENT_INSIDE}/32`, "dev", "eth0"]);
    await lend(client, "eth0", CLIENT_INSIDE);
    await eventually(async () =>
      await connect(server, `${CLIENT_INSIDE}:9`, SHORT) === REFUSED || null
    );
  },
  { programs: PROGRAMS },
);

netTest("the inner guard is made for all inner addresses, as `nft` lists it", async (topology) => {
  const { server } = await layWire(topology);
  const { server: config } = simpleTunnel();
  await startVpn("server", server, config({ Address: "10.66.77.1/24, 10.66.78.1/24" }));
  const text = (await server.output(["nft", "list", "ruleset"])).replaceAll(/\s+/g, " ");
  const rule = (address: string) =>
    `iifname != "vpn0" iifname != "lo" ip daddr ${address} counter packets 0 bytes 0 drop `;
  const silence = (address: string) =>
    `iifname != "vpn0" arp daddr ip ${address} counter packets 0 bytes 0 drop `;
  assertStringIncludes(
    text,
    'table ip vpn_vpn0_inner { comment "made by vpn" chain prerouting { type filter hook prerouting priority raw; policy accept; ' +
      `${rule("10.66.77.1")}${rule("10.66.78.1")}} }`,
  );
  assertStringIncludes(
    text,
    'table arp vpn_vpn0_inner { comment "made by vpn" chain input { type filter hook input priority filter; policy accept; ' +
      `${silence("10.66.77.1")}${silence("10.66.78.1")}} }`,
  );
}, { programs: PROGRAMS });

netTest(
  "a host without nftables is warned of what is open, and nothing is noted to be undone",
  async (topology) => {
    const namespace = topology.namespace("host");
    const script = `
    import { InnerGuard } from "${new URL(
      "../../../lib/host/firewall/inner_guard.ts",
      import.meta.url,
    )}";
    InnerGuard.install({
      role: "server",
      interfaceName: "vpn0",
      addresses: [{ address: 0x0a424d01, prefixLength: 24 }],
      services: [],
      journal: { make: () => console.log("noted") },
      logger: { warn: (text, { addresses, error }) => console.log(text, addresses, error.message) },
    });`;
    // Without the capability, the kernel refuses as one without nftables does.
    const without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    const said = await namespace.output([
      ...without,
      Deno.execPath(),
      "eval",
      "--no-check",
      script,
    ]);
    assertMatch(
      said,
      /^hosts on every link can reach the services at [^\n]+ 10\.66\.77\.1 Cannot /,
    );
    assertEquals(said.includes("noted"), false);
  },
  { programs: ["setpriv"] },
);

const INSIDE6 = "fd00:77::1";
const CLIENT_INSIDE6 = "fd00:77::2";
/** Another address of the gateway, that is no tunnel's. */
const OTHER6 = "fd00:99::1";

netTest(
  "by IPv6, neighbours reach neither a gateway's inner address nor its clients",
  async (topology) => {
    const wire = await layWire(topology);
    await addIpv6(wire);
    const { server: gateway, client: neighbour } = wire;
    const name = "vpn0";
    using _upstream = new DnsServer(neighbour, [CLIENT_OUTSIDE], ({ query }) => [
      buildAnswer(query, { answers: [{ data: addressData(ADDRESS) }] }),
    ]);
    const running = await startVpn(
      "server",
      gateway,
      configText(
        {
          PrivateKey: newIdentity().privateKey,
          Address: `10.66.77.1/24, ${INSIDE6}/64`,
          Egress: "off",
          DnsProxy: CLIENT_OUTSIDE,
        },
        { PublicKey: newIdentity().publicKey, AllowedIPs: `10.66.77.2/32, ${CLIENT_INSIDE6}/128` },
      ),
    );
    await giveIpv6(gateway, "lo", `${OTHER6}/128`);
    await gateway.output(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]);
    for (const network of ["fd00:77::/64", "fd00:99::/64"]) {
      const route = ["ip", "route", "add", network, "via", SERVER_OUTSIDE6, "dev", CABLE];
      await neighbour.output(route);
    }
    await using forwarded = await capture(gateway, name, `dst host ${CLIENT_INSIDE6}`);
    assertEquals((await ping(neighbour, OTHER6)).received, 3);
    assertEquals((await ping(neighbour, INSIDE6, { wait: 1 })).received, 0);
    assertEquals((await ping(gateway, INSIDE6)).received, 3);
    await ping(neighbour, CLIENT_INSIDE6, { wait: 1 });
    assertEquals(forwarded.count(), 0);
    // An address that another interface gets as well is the host's own there, for as long as it has it; but the DNS
    // proxy is the tunnel's alone.
    assertEquals(await lookUp(gateway, { server: INSIDE6, limit: LONG }), ADDRESS);
    for (const [change, received] of [["add", 1], ["del", 0], ["add", 1], ["del", 0]] as const) {
      const address = ["ip", "address", change, `${INSIDE6}/128`, "dev", "lo"];
      await gateway.output(address);
      await eventually(async () => {
        const { received: now } = await ping(neighbour, INSIDE6, { count: 1, wait: 1 });
        return now === received || null;
      }, { what: address.join(" ") });
      if (change === "add") {
        assertEquals(await lookUp(neighbour, { server: INSIDE6, limit: SHORT }), null);
      }
    }
    // It is these tables that stop them, and they are put back where somebody removes them.
    await eventually(async () => {
      for (const table of ["inner", "forward"]) {
        await gateway.run(["nft", "delete", "table", "ip6", `vpn_${name}_${table}`]);
      }
      await ping(neighbour, CLIENT_INSIDE6, { wait: 1 });
      return forwarded.count() > 0 || null;
    }, { what: "a packet for a client without the tables" });
    await endWell(running);
    assertEquals(await gateway.output(["nft", "list", "tables"]), "");
  },
  { programs: ["ip", "ping", "nft", "sysctl", "tcpdump", "dig"] },
);
