/**
 * Tests of `lib/commands/client/client_reload.ts`: what a client's reload changes at once, and what needs a restart; on
 * stand-ins for what runs.
 */
import { ClientReload } from "../../../../lib/commands/client/client_reload.ts";
import { AppError, ExitCode } from "../../../../lib/process/errors.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { formatAddress } from "../../../../lib/core/wire/host_address.ts";
import { formatCidr, parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";
import { peer, PEERS, section, Site } from "../../../support/control/reload_site.ts";

const PLACE = { address: parseIpv4("192.0.2.1")!, port: 51_820 };

/** A client, and what was asked of its parts. */
function clientRole({ answers = true, dnsFails = false } = {}) {
  const asked: string[] = [];
  const role = new ClientReload({
    connection: {
      place: PLACE,
      places: [{ ...PLACE, rank: 0 }],
      servers: "192.0.2.7:51820",
      reconfigure: () => {},
      moveTo: ({ server }, places) => {
        const to = places.map(({ address }) => formatAddress(address)).join(" ");
        asked.push(`to ${to} with ${encodeKey(server.publicKey)}`);
        return Promise.resolve(answers);
      },
    },
    wayTo: () => ({
      device: "eth0",
      network: { address: parseIpv4("192.0.2.0")!, prefixLength: 24 },
    }),
    changeRoutes: ({ added, removed, inside }) =>
      asked.push(
        ...inside.map((address) => `inside ${formatAddress(address)}`),
        ...added.networks.map((network) => `+${formatCidr(network)}`),
        ...removed.networks.map((network) => `-${formatCidr(network)}`),
      ),
    setDns: ({ interface: { dns } }) => {
      if (dnsFails) throw new AppError("Cannot set DNS", { exitCode: ExitCode.privilege });
      asked.push(`dns ${dns.length}`);
    },
    mtuCapacity: 1400,
    setMtuLimit: (limit) => asked.push(`mtu ${limit}`),
  });
  return { role, asked };
}

const networks = (list: string, ...more: readonly string[]) =>
  peer(0, "Endpoint = 192.0.2.1:51820", `AllowedIPs = ${list}`, ...more);

hostTest(
  "a client's reload changes routes, resolvers and MTU, without a new handshake",
  async () => {
    const { role, asked } = clientRole();
    using site = new Site(section("MTU = 1400") + networks("10.1.0.0/16, 10.2.0.0/16"), role);
    const result = await site.edit(
      section("MTU = 1300", "DNS = 9.9.9.9", "OnPeerTimeout = exit", "DnsProxy = 1.1.1.1") +
        networks("10.2.0.0/16, 10.3.0.0/16", "PersistentKeepalive = 25"),
    );
    assertEquals(asked, ["+10.3.0.0/16", "-10.1.0.0/16", "mtu 1300", "dns 1"]);
    assertEquals(result.changes, ["1 peer changed", "DNS", "MTU", "OnPeerTimeout"]);
    assertEquals([result.restart, result.exitCode], [[], ExitCode.ok]);
    assertEquals(site.reloader.config.interface.onPeerTimeout, "exit");
    assertEquals(site.reloader.config.server.persistentKeepalive, 25);
  },
);

hostTest(
  "a full tunnel leads to the addresses and resolvers of the edited file, whatever the LAN is",
  async () => {
    const { role, asked } = clientRole();
    using site = new Site(section() + networks("10.66.77.1/32, 0.0.0.0/0"), role);
    await site.edit(section("DNS = 9.9.9.9") + networks("10.66.77.3/32, 0.0.0.0/0"));
    assertEquals(asked, ["inside 10.66.77.3", "inside 9.9.9.9", "dns 1"]);
  },
);

hostTest(
  "a client that would have to route another way keeps its networks, and says so",
  async () => {
    const { role, asked } = clientRole();
    using site = new Site(section() + networks("10.1.0.0/16"), role);
    const text = section() + networks("0.0.0.0/0", "PersistentKeepalive = 25");
    const result = await site.edit(text);
    assertEquals(result.restart, ["AllowedIPs"]);
    assertEquals(result.changes, ["1 peer changed"]);
    assertEquals(site.reloader.config.server.allowedIps.map(formatCidr), ["10.1.0.0/16"]);
    assertEquals(site.reloader.config.server.persistentKeepalive, 25);
    assertEquals(asked, []);
    assertEquals((await site.edit(text)).restart, ["AllowedIPs"]);
  },
);

hostTest("a client goes to another server, or the same one elsewhere, at once", async () => {
  const { role, asked } = clientRole();
  using site = new Site(section() + networks("10.1.0.0/16"), role);
  const elsewhere = (index: number) =>
    section() + peer(index, "Endpoint = 192.0.2.7:51820", "AllowedIPs = 10.1.0.0/16");
  await site.edit(elsewhere(0));
  const { changes } = await site.edit(elsewhere(1));
  assertEquals(asked, [`to 192.0.2.7 with ${PEERS[0]}`, `to 192.0.2.7 with ${PEERS[1]}`]);
  assertEquals(changes, ["1 peer added", "1 peer removed"]);
  assertEquals([...site.peers.peers.keys()], [PEERS[1]]);
});

hostTest(
  "a client goes by another list of endpoints at once, and by the same one not again",
  async () => {
    const { role, asked } = clientRole();
    const one = "Endpoint = 192.0.2.1:51820";
    const other = "Endpoint = 192.0.2.9:51820";
    const text = (...endpoints: readonly string[]) =>
      section() + peer(0, ...endpoints, "AllowedIPs = 10.1.0.0/16");
    using site = new Site(text(one), role);
    for (const endpoints of [[one, other], [one, other], [other, one], [other]]) {
      assertEquals((await site.edit(text(...endpoints))).problems, []);
    }
    assertEquals(asked, [
      `to 192.0.2.1 192.0.2.9 with ${PEERS[0]}`,
      `to 192.0.2.9 192.0.2.1 with ${PEERS[0]}`,
      `to 192.0.2.9 with ${PEERS[0]}`,
    ]);
  },
);

hostTest("an endpoint without an address is named, and the others are gone by", async () => {
  const { role, asked } = clientRole();
  using site = new Site(section() + networks("10.1.0.0/16"), role);
  const result = await site.edit(
    section() + networks("10.1.0.0/16", "Endpoint = vpn.invalid:51820"),
  );
  assertEquals(asked, [`to 192.0.2.1 with ${PEERS[0]}`]);
  assertEquals(result.exitCode, ExitCode.connect);
  assertMatch(result.problems[0]!, /looking up "vpn\.invalid" failed/);
});

hostTest("an endpoint inside the tunnel's networks is refused, whichever it is", async () => {
  const { role, asked } = clientRole();
  using site = new Site(section() + networks("10.1.0.0/16"), role);
  const { problems } = await site.edit(
    section() + networks("10.1.0.0/16", "Endpoint = 10.1.0.9:51820"),
  );
  assertMatch(problems[0]!, /"10\.1\.0\.0\/16": it contains the server's own address 10\.1\.0\.9/);
  assertEquals(asked, []);
});

hostTest(
  "a client's other peers come and go while its server stays, and the file's order decides which that is",
  async () => {
    const { role, asked } = clientRole();
    const server = networks("10.1.0.0/16");
    using site = new Site(section() + server, role);
    const other = peer(1, "Endpoint = 192.0.2.8:1", "AllowedIPs = 10.2.0.0/16");
    await site.edit(section() + server + other);
    assertEquals(asked.splice(0), ["+10.2.0.0/16"]);
    assertEquals(site.peers.peers.get(PEERS[1]!)?.endpoint?.host, "192.0.2.8");
    await site.edit(section() + other + server);
    assertEquals(asked.splice(0), [`to 192.0.2.8 with ${PEERS[1]}`]);
    await site.edit(section() + server);
    assertEquals(asked, ["-10.2.0.0/16", `to 192.0.2.1 with ${PEERS[0]}`]);
  },
);

hostTest("a new server that does not answer yet is said so, with exit code 3", async () => {
  const { role } = clientRole({ answers: false });
  using site = new Site(section() + networks("10.1.0.0/16"), role);
  const result = await site.edit(
    section() + peer(1, "Endpoint = 192.0.2.7:51820", "AllowedIPs = 10.1.0.0/16"),
  );
  assertEquals(result.exitCode, ExitCode.connect);
  assertMatch(result.problems[0]!, /no valid answer from 192\.0\.2\.7:51820 yet/);
});

hostTest("a network that the server is reached through changes nothing", async () => {
  const { role, asked } = clientRole();
  using site = new Site(section() + networks("10.1.0.0/16"), role);
  const { problems } = await site.edit(section("DNS = 9.9.9.9") + networks("192.0.2.0/25"));
  assertMatch(problems[0]!, /AllowedIPs: cannot use "192\.0\.2\.0\/25"/);
  assertEquals([asked, site.peers.asked], [[], []]);
});

hostTest(
  "what fails on the host is named, the rest is in effect, and it is tried again the next time",
  async () => {
    const { role, asked } = clientRole({ dnsFails: true });
    using site = new Site(section() + networks("10.1.0.0/16"), role);
    const text = section("DNS = 9.9.9.9", "ConnectTimeout = 9") + networks("10.2.0.0/16");
    const result = await site.edit(text);
    assertEquals(result.problems, ["Cannot set DNS"]);
    assertEquals(result.exitCode, ExitCode.privilege);
    assertEquals(result.changes, ["1 peer changed", "ConnectTimeout"]);
    assertEquals(asked, ["+10.2.0.0/16", "-10.1.0.0/16"]);
    assertEquals((await site.edit(text)).problems, ["Cannot set DNS"]);
  },
);

hostTest("an MTU above that of the start needs a restart, the default included", async () => {
  using site = new Site(section("MTU = 1400") + networks("10.1.0.0/16"), clientRole().role);
  const restart = async (...lines: readonly string[]) =>
    (await site.edit(section(...lines) + networks("10.1.0.0/16"))).restart;
  assertEquals(await restart("MTU = 1401"), ["MTU (line 4)"]);
  assertEquals(await restart(), ["MTU (removed)"]);
  assertEquals(await restart("MTU = auto"), ["MTU (line 4)"]);
  assertEquals(await restart("MTU = 1399"), []);
});
