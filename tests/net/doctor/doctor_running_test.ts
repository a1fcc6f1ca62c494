/**
 * Tests of `vpn doctor` where a server or client runs, or is to answer DNS: faults of the field, planted, are not "ok".
 */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { examine, listenOn } from "../support/doctor.ts";
import { killHard, simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn } from "../support/programs/vpn.ts";
import { layWire } from "../support/wire.ts";

netTest(
  "a gateway whose DnsProxy cannot work is told so: its port taken, its firewall shut, its resolver dead",
  async (topology) => {
    const { server } = await layWire(topology);
    const config = (dns: string) => simpleTunnel().server({ DnsProxy: dns });
    const { program } = await listenOn(server, "udp", 53);
    await server.output(["nft", "-f", "-"], {
      stdin: "table inet fw { chain input { type filter hook input priority 0;\n" +
        'udp dport 51820 accept\niifname "lo" accept\nreject\n}\n}\n',
    });
    const report = await examine(server, config("192.0.2.77"));
    report.expect("dns-port", {
      status: "fail",
      why: new RegExp(`needs udp port 53 of 10\\.66\\.77\\.1, but "${program}"`),
    });
    const remedy = report.expect("dns-firewall", {
      status: "fail",
      why: /\(inet fw input\) rejects queries of clients to DnsProxy on port 53 of vpn0: rule \d+/,
    });
    assertMatch(remedy, /iifname "vpn0" udp dport 53 accept` and `.* tcp dport 53 accept`/);
    report.expect("dns-upstream", {
      status: "fail",
      why: /192\.0\.2\.77 (?:does not answer|is not reached)/,
    });
    assertEquals(report.finding("input-firewall").status, "ok");
  },
  { programs: ["nft"] },
);

netTest("what runs is asked, not the file: another file, a lost server", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  const gateway = await startVpn("server", server, tunnel.server());
  const config = tunnel.client({ KillSwitch: "on" }, { AllowedIPs: "0.0.0.0/0" });
  await client.output(["sysctl", "-q", "-w", "net.ipv4.conf.all.rp_filter=1"]);
  const process = await startVpn("client", client, config);
  const healthy = await examine(client, config);
  healthy.expectHealth();
  assertEquals(healthy.finding("running-file").status, "ok");
  assertEquals(healthy.finding("running-peers").why, "packets arrive from the server");
  assertMatch(
    healthy.finding("reverse-path").why,
    /answers pass it, marked by ip vpn_vpn0_return$/,
  );

  assertEquals(healthy.finding("kill-switch").why, "the kill switch is active");

  const edited = await examine(client, config.replace("10.66.77.2", "10.66.77.99"));
  edited.expect("running-file", { status: "warn", why: /differs from .*: it has the address 10/ });

  const said = process.stderr.length;
  await killHard(gateway);
  await eventually(
    () => process.stderr.slice(said).includes(": reconnecting") || null,
    { what: "the client's word that its server is lost" },
  );
  const lost = await examine(client, config);
  lost.expect("running-peers", {
    status: "fail",
    why: /the server \(192\.0\.2\.1:51820\) was last seen/,
  });
  assert(!lost.findings.some(({ name }) => name === "handshake"), "it says that all is well");
});

netTest(
  "a network here that is the tunnel's own is named with its interface",
  async (topology) => {
    const { client } = await layWire(topology);
    const tunnel = simpleTunnel();
    const config = tunnel.client(
      { Address: "10.66.77.2/32", DNS: "10.66.77.1" },
      { AllowedIPs: "0.0.0.0/0" },
    );
    await client.output(["ip", "address", "add", "10.66.77.50/24", "dev", "eth0"]);
    const report = await examine(client, config);
    report.expect("overlap", {
      status: "warn",
      why:
        /10\.66\.77\.0\/24 on eth0 contains addresses of the tunnel: 10\.66\.77\.2, 10\.66\.77\.1/,
    });
  },
);
