/**
 * Tests of `vpn doctor` on leaks: each plants a fault, and asks that it is found, and that the remedy is right;
 * commands among the remedies are carried out, and must fix it.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { type Section, temporaryFile } from "../support/config.ts";
import { ask, examine, examineUntilFound } from "../support/doctor.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, layWire, SERVER_OUTSIDE } from "../support/wire.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

netTest(
  "a full tunnel that asks a resolver beside it leaks names; DNS fixes it",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    using files = new HostFiles(`nameserver ${SERVER_OUTSIDE}\n`);
    const examineWithNames = async (config: string) => {
      using file = temporaryFile(config);
      return await ask(
        client,
        files.command(vpnCommand("doctor", "--config", file.path, "--json")),
      );
    };
    await startVpn("server", server, tunnel.server());
    const full = (section: Section = {}) => tunnel.client(section, { AllowedIPs: "0.0.0.0/0" });
    const report = await examineWithNames(full());
    const remedy = report.expect("dns", {
      status: "warn",
      why: /192\.0\.2\.1 outside it.*DNS leak/,
    });
    assertMatch(remedy, /add `DNS = 10\.66\.77\.1`/);
    assertEquals((await examineWithNames(full({ DNS: "10.66.77.1" }))).finding("dns").status, "ok");
    // A neighbour by IPv6 is reached in the clear, though the tunnel carries all of IPv6 beyond it.
    await giveIpv6(client, CABLE, "2001:db8::2/64");
    const both = (section: Section = {}) =>
      tunnel.client({ Address: "10.66.77.2/32, fd00:77::2/128", ...section }, {
        AllowedIPs: "0.0.0.0/0, ::/0",
      });
    for (const resolver of ["2001:db8::1", "fe80::1%eth0"]) {
      Deno.writeTextFileSync(files.resolvConfPath, `nameserver ${resolver}\n`);
      (await examineWithNames(both())).expect("dns", {
        status: "warn",
        why: new RegExp(`${resolver} outside it.*DNS leak`),
      });
    }
    const configured = await examineWithNames(both({ DNS: "fd00:77::1" }));
    assertMatch(configured.finding("dns").why, /DNS queries go to fd00:77::1, through the tunnel/);
    const part = tunnel.client({ DNS: "10.9.9.9" });
    (await examineWithNames(part)).expect("dns", {
      status: "warn",
      why: /AllowedIPs do not cover 10\.9\.9\.9/,
    });
  },
  { programs: HOST_FILES_PROGRAMS },
);

netTest(
  "IPv6 that goes past a full tunnel is found, and is blocked without AllowIPv6",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await giveIpv6(client, "eth0", "2001:db8::2/64");
    await client.output(["ip", "route", "add", "default", "via", "2001:db8::1"]);
    await startVpn("server", server, tunnel.server());
    const full = (section: Section = {}) => tunnel.client(section, { AllowedIPs: "0.0.0.0/0" });
    const report = await examine(client, full({ AllowIPv6: "on" }));
    const remedy = report.expect("ipv6-leak", {
      status: "warn",
      why: /IPv6 bypasses it \(AllowIPv6/,
    });
    assertStringIncludes(remedy, "remove AllowIPv6");
    assertMatch(
      (await examine(client, full())).finding("ipv6-leak").why,
      /is blocked while the tunnel is up/,
    );

    const process = await startVpn("client", client, full());
    assertMatch((await examine(client, full())).finding("ipv6-leak").why, /is blocked$/);
    // Once only, and the client would put it back.
    const rule = "ip -6 rule del table 51820 2>/dev/null";
    client.spawn(["sh", "-c", `while :; do ${rule}; sleep 0.05; done`]);
    await process.waitFor(/the tunnel is degraded, without routing rule/);
    // The client goes on putting it back, which the doctor may see.
    const lost = await examineUntilFound("ipv6-leak", client, full());
    lost.expect("ipv6-leak", { status: "fail", why: /the rule that blocks IPv6 is gone/ });
  },
);

netTest(
  "a full tunnel of both families takes IPv6, and it is found where that goes past it",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await giveIpv6(client, "eth0", "2001:db8::2/64");
    await client.output(["ip", "route", "add", "default", "via", "2001:db8::1"]);
    await startVpn("server", server, tunnel.server());
    const full = tunnel.client(
      { Address: "10.66.77.2/32, fd00:77::2/128" },
      { AllowedIPs: "0.0.0.0/0, ::/0" },
    );
    const { status, why } = (await examine(client, full)).finding("ipv6-leak");
    assertEquals(status, "ok");
    assertMatch(why, /goes through the tunnel while it is up$/);

    const process = await startVpn("client", client, full);
    assertMatch((await examine(client, full)).finding("ipv6-leak").why, /goes through the tunnel$/);
    const rule = "ip -6 rule del table 51820 2>/dev/null";
    client.spawn(["sh", "-c", `while :; do ${rule}; sleep 0.05; done`]);
    await process.waitFor(/the tunnel is degraded, without routing rule/);
    const lost = await examineUntilFound("ipv6-leak", client, full);
    lost.expect("ipv6-leak", { status: "fail", why: /the rule that leads there is gone/ });
  },
);
