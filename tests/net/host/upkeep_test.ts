/**
 * That what a tunnel has put on the host is put back when others take it away, each kind of it, for client and server.
 */
import { basename } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import {
  type BackgroundProcess,
  netTest,
  randomDigits,
  type TestNamespace,
} from "../../support/net.ts";
import { eventually, PATIENCE } from "../../support/time/patience.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { endWell, type SimpleTunnel, simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { delay, layWire } from "../support/wire.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "nft"];
/** In the listing of nftables. */
const TABLE = /^table .*?^\}\n/gms;

/** The state of the host, its tables in no order, as what was made again stands last. */
async function stateOf(namespace: TestNamespace): Promise<string> {
  const state = (await hostState(namespace)).replaceAll(
    /counter packets \d+ bytes \d+/g,
    "counter",
  );
  const tables = state.match(TABLE) ?? [];
  return [state.replaceAll(TABLE, ""), ...tables.sort()].join("");
}

/** Waits until the host is again as it was. */
async function putBack(namespace: TestNamespace, before: string): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const now = await stateOf(namespace);
    if (now === before) return;
    if (performance.now() > deadline) assertEquals(now, before);
    await delay(50);
  }
}

/** Has each of the commands take something away in turn, and waits until it is back, with a warning that names it. */
async function takeAway(
  namespace: TestNamespace,
  process: BackgroundProcess,
  losses: readonly (readonly [command: string, names: RegExp])[],
): Promise<void> {
  const before = await stateOf(namespace);
  for (const [command, names] of losses) {
    const said = process.stderr.length;
    await namespace.output(["sh", "-ec", command]);
    await putBack(namespace, before);
    // It is said once it is back, and of what was taken away later, in another line; a flush on a busy host goes on
    // with what has been put back meanwhile.
    await eventually(() =>
      names.test(
        process.stderr.slice(said).split("\n")
          .filter((line) => /removed by another program|degraded, without/.test(line)).join("\n"),
      ), { what: `a warning with ${names} after ${command}` });
    // What is taken away at once again is another matter.
    await delay(1_100);
  }
}

/** As hosts do that load their own rules with it. */
const FLUSH = "nft flush ruleset";

/** All that changes a client's host. */
function everything(tunnel: SimpleTunnel): string {
  const section = { DNS: "10.66.77.1", KillSwitch: "on", Transport: "faketcp", PostUp: FLUSH };
  return tunnel.client({ ...section, Address: "10.66.77.2/24, fd00:77::2/64" }, {
    AllowedIPs: "0.0.0.0/0, 198.18.0.0/16, ::/0",
  });
}

netTest(
  "a client puts back what others take away: routes, rules, tables, all",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server({ Transport: "auto" }));
    const before = await stateOf(client);
    const process = await startVpn("client", client, everything(tunnel));
    await process.waitFor(/restored: .*table ip vpn_vpn0_inner/);
    await takeAway(client, process, [
      ["ip link set vpn0 down; ip link set vpn0 up", /route 0\.0\.0\.0\/0 in table 51820/],
      ["ip link set vpn0 down", /vpn0 being up/],
      ["ip route flush dev vpn0", /route 10\.66\.77\.0\/24 in table 254/],
      ["ip route flush dev vpn0 table all", /local route of 10\.66\.77\.2\/24/],
      ["ip -6 route flush dev vpn0 table all", /local route of fd00:77::2\/64/],
      [
        "ip route flush table 51820; sleep 0.3; ip -6 route flush table 51820",
        /route ::\/0 in table/,
      ],
      ["ip rule del table 51820; ip -6 rule del table 51820", /routing rule to table 51820/],
      ["ip route replace default dev eth0 table 51820", /route 0\.0\.0\.0\/0 in table 51820/],
      ["ip route replace 198.18.0.0/16 dev eth0", /route 198\.18\.0\.0\/16 in table 254/],
      ["ip rule del table main suppress_prefixlength 0", /routing rule to table 254/],
      ["nft flush ruleset", /vpn_vpn0_faketcp(.|\n)*ip vpn_vpn0_inner(.|\n)*arp vpn_vpn0_inner/],
      ["nft flush table ip vpn_vpn0_faketcp", /table ip vpn_vpn0_faketcp/],
      ["ip address flush dev vpn0", /address 10\.66\.77\.2\/24/],
      ["ip link set vpn0 mtu 1280", /MTU \d+ of vpn0/],
      ["sysctl -q -w net.ipv4.conf.all.src_valid_mark=0", /src_valid_mark/],
    ]);
    await endWell(process);
    // What the other program wrote is the host's own.
    const after = await stateOf(client);
    assertEquals(after.replace(/\n\$ cat \S+resolv\.conf\nnameserver 192\.0\.2\.9\n/, ""), before);
  },
  { programs: PROGRAMS },
);

netTest(
  "resolv.conf is ours again when others write it, and theirs at the end",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    using files = new HostFiles("nameserver 192.0.2.53\n");
    const process = await files.startClient(
      client,
      tunnel.client({ DNS: "10.66.77.1, corp.example" }),
    );
    const resolvers = () => files.resolvConf?.replaceAll(/^#.*\n/gm, "");
    const ours = "nameserver 10.66.77.1\nsearch corp.example\n";
    assertEquals(resolvers(), ours);
    // As a DHCP client does it, twice.
    for (const address of ["192.0.2.8", "192.0.2.9"]) {
      const other = `${files.resolvConfPath}.dhcp`;
      Deno.writeTextFileSync(other, `nameserver ${address}\n`);
      Deno.renameSync(other, files.resolvConfPath);
      await process.waitFor(/restored: \/etc\/resolv\.conf$/m);
      while (resolvers() !== ours) await delay(20);
      await delay(1_100);
    }
    // What nobody may read is ours again for all that, and can be read.
    Deno.chmodSync(files.resolvConfPath, 0);
    while (Deno.statSync(files.resolvConfPath).mode! % 0o1000 !== 0o400) await delay(20);
    await delay(1_100);
    // As systemd-resolved or NetworkManager does it when it comes: a link, which stays theirs, and is followed.
    const other = `${files.resolvConfPath}.stub`;
    Deno.writeTextFileSync(other, "nameserver 192.0.2.7\n");
    Deno.symlinkSync(basename(other), `${files.resolvConfPath}.link`);
    Deno.renameSync(`${files.resolvConfPath}.link`, files.resolvConfPath);
    while (resolvers() !== ours) await delay(20);
    assertEquals(Deno.readLinkSync(files.resolvConfPath), basename(other));
    await endWell(process);
    assertEquals(Deno.readLinkSync(files.resolvConfPath), basename(other));
    assertEquals(files.resolvConf, "nameserver 192.0.2.7\n");
    assert(!process.stderr.includes("degraded"), process.stderr);
  },
  { programs: [...PROGRAMS, ...HOST_FILES_PROGRAMS] },
);

netTest(
  "a rule or a route of others that leads past a full tunnel is told of, at the start as well",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    await client.output(["ip", "route", "add", "default", "via", "192.0.2.1"]);
    await giveIpv6(client, "eth0", "2001:db8:1::2/64");
    await client.output(["ip", "-6", "route", "add", "default", "via", "2001:db8:1::1"]);
    const config = tunnel.client({}, { AllowedIPs: "0.0.0.0/0, ::/0" });
    const process = await startVpn("client", client, config);
    assert(!process.stderr.includes("without the routes through"), process.stderr);
    await client.output(["ip", "rule", "add", "pref", "1", "lookup", "main"]);
    await process.waitFor(
      /is degraded, without the routes through vpn0 \(packets to \S+ go through eth0\): it cannot be/,
    );
    assert(!process.stderr.includes("and restored"), process.stderr);
    await endWell(process);
    await client.output(["ip", "rule", "del", "pref", "1", "lookup", "main"]);

    // As some VPNs replace the default route.
    await client.output(["ip", "route", "add", "128.0.0.0/1", "via", "192.0.2.1"]);
    await client.output(["ip", "-6", "rule", "add", "pref", "1", "lookup", "main"]);
    const next = await startVpn("client", client, config);
    for (const probe of ["193.0.0.1", "2001:7fd::1"]) {
      const text =
        `the tunnel is degraded, without the routes through vpn0 (packets to ${probe} go through eth0)`;
      assertStringIncludes(next.stderr, text);
    }
    await endWell(next);
  },
  { programs: PROGRAMS },
);

netTest("what a client routes by is of the kind that systemd-networkd spares", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", server, tunnel.server());
  await startVpn("client", client, tunnel.client({}, { AllowedIPs: "0.0.0.0/0, 198.18.0.0/16" }));
  for (const object of ["rule", "-6 rule", "route show table all", "-6 route show table all"]) {
    const listed = await client.output(["ip", "-details", ...object.split(" ")]);
    const ours = listed.split("\n").filter((line) => /51820|suppress|vpn0/.test(line));
    assert(ours.length > 0, listed);
    for (const line of ours) assertMatch(line, /proto kernel/);
  }
}, { programs: PROGRAMS });

netTest(
  "who takes something away at once again makes a tunnel degraded, not busy",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    const name = `up${randomDigits()}`;
    const config = tunnel.client({}, { AllowedIPs: "0.0.0.0/0" });
    const process = await startVpn("client", client, config, "--interface", name);
    const before = await stateOf(client);
    // That the first of them is back, and the journal by which it is found, the status below shows.
    const journal = Array.from(Deno.readDirSync("/run/vpn"), (entry) => `/run/vpn/${entry.name}`)
      .find((path) => path.startsWith(`/run/vpn/${process.pid}-`))!;
    Deno.removeSync(journal);
    await process.waitFor(new RegExp(`restored: journal ${journal}$`, "m"));
    for (const folder of ["/run/vpn", "/var/run/wireguard"]) {
      const path = `${folder}/${name}.sock`;
      Deno.removeSync(path);
      await process.waitFor(new RegExp(`restored: socket ${path}$`, "m"));
      assert(Deno.lstatSync(path).isSocket);
    }
    const other = client.spawn([
      ...["sh", "-c", "while :; do ip rule del table 51820 2>/dev/null; sleep 0.05; done"],
    ]);
    await process.waitFor(/the tunnel is degraded, without routing rule to table 51820: /);
    const status = JSON.parse(
      await client.output(vpnCommand("status", "--json", "--interface", name)),
    ) as { state: string; missing: string[] }[];
    // There are several of that name: which of them are lost just then is chance.
    assertEquals(status.map(({ state, missing }) => ({ state, missing: new Set(missing) })), [
      { state: "degraded", missing: new Set(["routing rule to table 51820"]) },
    ]);
    await other.stop();
    await putBack(client, before);
    // Once for each of the two rules, however often they were taken away.
    assert(process.stderr.match(/is degraded/g)!.length <= 2, process.stderr);
    await endWell(process);
  },
  { programs: [...PROGRAMS, "sh", "sleep"] },
);

for (
  const [name, section, losses] of [
    ["our NAT", { Transport: "auto", NatPorts: "40000-40999" }, [
      ["ip route flush dev vpn0", /route 10\.66\.77\.0\/24/],
      [FLUSH, /netdev vpn_vpn0\b/],
      ["nft delete table ip vpn_vpn0_faketcp", /vpn_vpn0_faketcp/],
      ["echo >/proc/sys/net/ipv4/ip_local_reserved_ports", /reserved ports/],
    ]],
    ["the kernel's NAT", { Egress: "kernel" }, [
      ["sysctl -q -w net.ipv4.ip_forward=0", /ip_forward/],
      [FLUSH, /table ip vpn_vpn0_/],
      ["ip link set vpn0 down", /vpn0 being up/],
    ]],
  ] as const
) {
  netTest(`a gateway with ${name} puts back what others take away`, async (topology) => {
    const { server } = await layWire(topology);
    await server.output(["ip", "route", "add", "default", "via", "192.0.2.9"]);
    const before = await stateOf(server);
    const postUp = { PostUp: FLUSH };
    const process = await startVpn(
      "server",
      server,
      simpleTunnel().server({ ...section, ...postUp }),
    );
    await process.waitFor(/restored: .*table ip vpn_vpn0_inner/);
    await takeAway(server, process, losses);
    await endWell(process);
    assertEquals(await stateOf(server), before);
  }, { programs: PROGRAMS });
}

netTest(
  "a relay puts back the table that keeps its segments from the host's TCP",
  async (topology) => {
    const { server } = await layWire(topology);
    const process = server.spawn(
      vpnCommand(
        "relay",
        "--listen",
        "faketcp://0.0.0.0:443",
        "--connect",
        "udp://127.0.0.1:51820",
      ),
    );
    await process.waitFor(/relaying/);
    await takeAway(server, process, [["nft flush ruleset", /vpn_relay_faketcp_443/]]);
    await endWell(process);
  },
  { programs: PROGRAMS },
);
