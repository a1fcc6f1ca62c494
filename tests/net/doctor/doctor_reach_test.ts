/**
 * Tests of `vpn doctor` on the way to the server: each plants a fault, and asks that it is found, and that the remedy
 * is right; commands among the remedies are carried out, and must fix it.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { newIdentity, newPresharedKey } from "../support/config.ts";
import { examine } from "../support/doctor.ts";
import { NARROW_PATH_PROGRAMS, NarrowPath } from "../support/narrow_path.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn } from "../support/programs/vpn.ts";
import { WIREGUARD_GO_PROGRAMS } from "../support/programs/wireguard_go.ts";
import { layWire, layWireOf, OUTERS, SERVER_ENDPOINT6, SERVER_PORT } from "../support/wire.ts";
import { PATIENCE } from "../../support/time/patience.ts";

const PATH_MTU = 1280;
const INNER_MTU = 1220;

/** Blocks the client's datagrams to the server's port without a word. */
async function dropPort(server: TestNamespace): Promise<void> {
  await server.output(["nft", "-f", "-"], {
    stdin: "add table ip shut\n" +
      "add chain ip shut prerouting { type filter hook prerouting priority -350; }\n" +
      `add rule ip shut prerouting udp dport ${SERVER_PORT} drop\n`,
  });
}

netTest("a server that does not run is told from one that is silent", async (topology) => {
  const { client } = await layWire(topology);
  const report = await examine(client, simpleTunnel().client());
  const remedy = report.expect("handshake", {
    status: "fail",
    why: /no program listens at 192\.0\.2\.1:51820 .*ICMP port unreachable/,
  });
  assertStringIncludes(remedy, "start the server there");
});

netTest(
  "a server at an IPv6 address is found, and one that does not run told",
  async (topology) => {
    const { client, server } = await layWireOf(topology, OUTERS[1]!);
    const tunnel = simpleTunnel();
    const config = tunnel.client({}, { Endpoint: SERVER_ENDPOINT6, AllowedIPs: "0.0.0.0/0, ::/0" });
    const before = await examine(client, config);
    before.expect("handshake", {
      status: "fail",
      why: /no program listens at \[2001:db8::1\]:51820 \(UDP\): .*ECONNREFUSED/,
    });
    await startVpn("server", server, tunnel.server());
    const report = await examine(client, config);
    report.expectHealth();
    assertMatch(report.finding("handshake").why, /^\[2001:db8::1\]:51820 \(UDP\) answered in/);
  },
  { programs: ["ip"] },
);

netTest(
  "a firewall that drops the port, and a host that is not there, are silence of two kinds",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    await dropPort(server);
    const dropped = await examine(client, tunnel.client());
    const remedy = dropped.expect("handshake", {
      status: "fail",
      why: /rejects other ports but not this one: .* a firewall drops only this port/,
    });
    assertStringIncludes(remedy, "does its firewall drop the port?");

    const absent = await examine(client, tunnel.client({}, { Endpoint: "192.0.2.77:51820" }));
    absent.expect("handshake", {
      status: "fail",
      why: /does not answer pings either|there is no route/,
    });
  },
  { programs: ["nft"] },
);

netTest(
  "a host that lets nothing out itself is told from a server that is silent",
  async (topology) => {
    const { client } = await layWire(topology);
    await client.output(["nft", "-f", "-"], {
      stdin: "add table ip fw\n" +
        "add chain ip fw output { type filter hook output priority 0; policy accept; }\n" +
        "add rule ip fw output udp dport 51820 drop\n",
    });
    const report = await examine(client, simpleTunnel().client());
    const remedy = report.expect("handshake", {
      status: "fail",
      why: /own firewall blocks packets/,
    });
    assertMatch(remedy, /`vpn cleanup`.*`iptables -I OUTPUT -d 192\.0\.2\.1 -p udp -j ACCEPT`/);
  },
  { programs: ["nft"] },
);

netTest(
  "a report does not wait for an answer as long as the configuration does",
  async (topology) => {
    const { client, server } = await layWire(topology);
    await server.output(["ip", "link", "set", "eth0", "down"]);
    const startedAt = performance.now();
    const report = await examine(client, simpleTunnel().client({ ConnectTimeout: 60 }));
    // On a machine that is not busy, that is as long as the configuration's.
    assert(performance.now() - startedAt < PATIENCE, "it took longer");
    assertEquals(report.finding("handshake").status, "fail");
  },
);

netTest("keys that do not match are named, with those that would", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", server, tunnel.server());
  const stranger = newIdentity();
  const wrongServer = await examine(client, tunnel.client({}, { PublicKey: stranger.publicKey }));
  const remedy = wrongServer.expect("handshake", { status: "fail", why: /the keys do not match/ });
  assertStringIncludes(remedy, `must print ${stranger.publicKey}`);

  const unknownClient = await examine(client, tunnel.client({ PrivateKey: stranger.privateKey }));
  const theirs = unknownClient.expect("handshake", {
    status: "fail",
    why: /the keys do not match/,
  });
  assertStringIncludes(theirs, `must have PublicKey = ${stranger.publicKey}`);

  const preshared = await examine(client, tunnel.client({}, { PresharedKey: newPresharedKey() }));
  const psk = preshared.expect("handshake", { status: "fail", why: /the preshared keys differ/ });
  assertStringIncludes(psk, "the same PresharedKey");
});

netTest(
  "a name that cannot be looked up is told from a server that does not answer",
  async (topology) => {
    const { client } = await layWire(topology);
    const config = simpleTunnel().client({}, { Endpoint: "no-such-host.invalid:51820" });
    const remedy = (await examine(client, config)).expect("server-name", {
      status: "fail",
      why: /looking up "no-such-host\.invalid" failed/,
    });
    assertStringIncludes(remedy, "`getent ahosts no-such-host.invalid`");
  },
);

const SERVERS = [
  ["our server", (path: NarrowPath) => path.startGateway(), []],
  ["wireguard-go", (path: NarrowPath) => path.startOtherGateway(), WIREGUARD_GO_PROGRAMS],
] as const;

for (const [label, start, programs] of SERVERS) {
  netTest(
    `an MTU black hole on the path to ${label} is found, with the MTU that gets through`,
    async (topology) => {
      const path = await NarrowPath.lay(topology, PATH_MTU);
      await path.silence();
      // What the host sets DF on by itself must not matter.
      await path.client.output(["sysctl", "-q", "-w", "net.ipv4.ip_no_pmtu_disc=1"]);
      await start(path);
      const config = path.clientConfig({ Address: "10.66.77.2/24" });
      const report = await examine(path.client, config);
      const remedy = report.expect("path-mtu", {
        status: "warn",
        why: /black hole.* up to 1280 bytes, and are lost at 1480/,
      });
      assertMatch(remedy, new RegExp(`^MTU = ${INNER_MTU} `));
      const repaired = await examine(
        path.client,
        path.clientConfig({ Address: "10.66.77.2/24", MTU: INNER_MTU }),
      );
      assertMatch(repaired.finding("path-mtu").why, /1280 bytes without fragments/);
    },
    { programs: [...NARROW_PATH_PROGRAMS, ...programs] },
  );
}

for (const [label, start, programs] of SERVERS) {
  netTest(
    `a path to ${label} that routers say is narrow is no black hole, whatever its MTU`,
    async (topology) => {
      const path = await NarrowPath.lay(topology, 700);
      // So that there are two probes: what is told of the first must not keep the second from being sent.
      await path.client.output(["ip", "link", "set", "eth0", "mtu", "1280"]);
      await start(path);
      const config = path.clientConfig({ Address: "10.66.77.2/24" });
      const { status, why } = (await examine(path.client, config)).finding("path-mtu");
      assertEquals([status, why], [
        "ok",
        "the path MTU is 700 bytes, and routers report it: the client lowers its MTU to 640 by itself",
      ]);
      const fixed = await examine(path.client, `${config.replace("[Peer]", "MTU = 1420\n[Peer]")}`);
      const remedy = fixed.expect("path-mtu", {
        status: "warn",
        why: /path MTU is 700 bytes, not 1480/,
      });
      assertMatch(remedy, /^MTU = 640 /);
    },
    { programs: [...NARROW_PATH_PROGRAMS, ...programs] },
  );
}
