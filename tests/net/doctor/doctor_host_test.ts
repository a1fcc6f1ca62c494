/**
 * Tests of `vpn doctor` on a host and its configuration: each plants a fault, and asks that it is found, and that the
 * remedy is right; commands among the remedies are carried out, and must fix it.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { newIdentity, newPresharedKey, temporaryFile } from "../support/config.ts";
import { ask, carryOutRemedy, examine, examineFile } from "../support/doctor.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork } from "../support/gateway.ts";
import { killHard, simpleTunnel } from "../support/simple_tunnel.ts";
import { Unprivileged, UNPRIVILEGED_PROGRAMS } from "../support/programs/unprivileged.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { layWire } from "../support/wire.ts";

netTest("a network that is on the host already is named with its interface", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await server.output(["ip", "link", "add", "docker9", "type", "veth", "peer", "name", "docker8"]);
  await server.output(["ip", "link", "set", "docker9", "up"]);
  await server.output(["ip", "route", "add", "10.66.77.0/24", "dev", "docker9"]);
  const report = await examine(server, tunnel.server());
  const remedy = report.expect("overlap", {
    status: "fail",
    why: /Address: 10\.66\.77\.0\/24 overlaps 10\.66\.77\.0\/24, which is reached through docker9/,
  });
  await server.output(["sh", "-ec", /`(ip route delete [^`]+)`/.exec(remedy)![1]!]);
  assertEquals((await examine(server, tunnel.server())).finding("overlap").status, "ok");

  await startVpn("server", server, tunnel.server());
  const config = tunnel.client({}, { AllowedIPs: "192.0.2.0/24" });
  const swallowed = await examine(client, config);
  const hint = swallowed.expect("server-network", {
    status: "fail",
    why: /AllowedIPs: cannot use "192\.0\.2\.0\/24": it contains the server's own address/,
  });
  assertStringIncludes(hint, "0.0.0.0/0 for a full tunnel");
});

netTest(
  "a configuration that others can read is found, and the remedy shuts it",
  async (topology) => {
    const { server } = await layWire(topology);
    using file = temporaryFile(simpleTunnel().server());
    Deno.chmodSync(file.path, 0o644);
    const report = await examineFile(server, file.path);
    const remedy = report.expect("file-mode", { status: "warn", why: /mode 0644/ });
    await carryOutRemedy(server, remedy);
    assertEquals((await examineFile(server, file.path)).finding("file-mode").status, "ok");
  },
);

netTest(
  "a configuration with a mistake, and none at all, still have the host examined",
  async (topology) => {
    const { server } = await layWire(topology);
    const report = await examine(server, simpleTunnel().server({ ListenPort: 70_000 }));
    report.expect("configuration", { status: "fail", why: /:3: ListenPort: cannot use "70000"/ });
    assertEquals(report.finding("tun-device").status, "ok");
    const bare = await ask(server, vpnCommand("doctor", "--json"));
    bare.expectHealth();
    assert(!bare.findings.some(({ name }) => name === "configuration"));
  },
);

netTest("two sides that do not fit are found by comparing their files", async (topology) => {
  const { client } = await layWire(topology);
  const tunnel = simpleTunnel();
  const compare = async (config: string) => {
    using other = temporaryFile(tunnel.server());
    return await examine(client, config, "--other-config", other.path);
  };
  const fitting = await compare(tunnel.client());
  assertMatch(fitting.finding("keys").why, /know each other, and their keys match/);

  const stranger = newIdentity();
  const unknown = await compare(tunnel.client({ PrivateKey: stranger.privateKey }));
  const remedy = unknown.expect("keys", {
    status: "fail",
    why: /no \[Peer\] of .* has the public key/,
  });
  assertStringIncludes(remedy, `PublicKey = ${stranger.publicKey}`);

  const preshared = await compare(tunnel.client({}, { PresharedKey: newPresharedKey() }));
  preshared.expect("keys", { status: "fail", why: /the preshared keys differ/ });

  const elsewhere = await compare(tunnel.client({ Address: "10.66.77.9/32" }));
  const hint = elsewhere.expect("keys", { status: "fail", why: /do not have 10\.66\.77\.9/ });
  assertStringIncludes(hint, "add 10.66.77.9/32 to AllowedIPs");
});

netTest("a clock behind the configuration's date is found", async (topology) => {
  const { server } = await layWire(topology);
  using file = temporaryFile(simpleTunnel().server());
  await server.output(["touch", "-d", "+40 days", file.path]);
  const report = await examineFile(server, file.path);
  const remedy = report.expect("clock", { status: "warn", why: /was written 40 days later/ });
  assertStringIncludes(remedy, "`timedatectl set-ntp true`");
});

netTest(
  "what a killed run left behind is found, and the remedy takes it away",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const server = await network.start({ Egress: "kernel" });
    await killHard(server);
    const report = await examine(network.gateway, network.config());
    const remedy = report.expect("leftovers", {
      status: "warn",
      why: new RegExp(`process \\(${server.pid}, vpn0\\) left behind: .*ip_forward`),
    });
    await carryOutRemedy(network.gateway, remedy);
    assertEquals(
      (await examine(network.gateway, network.config())).finding("leftovers").status,
      "ok",
    );
  },
  { programs: GATEWAY_PROGRAMS },
);

netTest(
  "an interface's name that is taken is found; --interface chooses another",
  async (topology) => {
    const { server } = await layWire(topology);
    await server.output(["ip", "tuntap", "add", "vpn0", "mode", "tun"]);
    const config = simpleTunnel().server();
    const remedy = (await examine(server, config)).expect("interface", {
      status: "fail",
      why: /vpn0 is taken/,
    });
    assertStringIncludes(remedy, "`--interface vpn1`");
    (await examine(server, config, "--interface", "vpn1")).expectHealth();
  },
);

netTest("a missing /dev/net/tun is found", async (topology) => {
  const { server } = await layWire(topology);
  using file = temporaryFile(simpleTunnel().server());
  const script = 'mount -t tmpfs none /dev/net; exec "$@"';
  const report = await ask(server, [
    ...["unshare", "--mount", "sh", "-ec", script, "sh"],
    ...vpnCommand("doctor", "--config", file.path, "--json"),
  ]);
  const remedy = report.expect("tun-device", {
    status: "fail",
    why: /\/dev\/net\/tun does not exist/,
  });
  assertStringIncludes(remedy, "`modprobe tun`");
}, { programs: ["unshare", "mount"] });

netTest(
  "missing capabilities are named one by one; what cannot be found out without them is a warning",
  async (topology) => {
    const { server } = await layWire(topology);
    using user = new Unprivileged();
    using file = user.file(simpleTunnel().server());
    const args = ["doctor", "--config", file.path, "--json"];
    const report = await ask(server, user.command(args, { tun: true }));
    const remedy = report.expect("capabilities", {
      status: "fail",
      why: /^CAP_NET_ADMIN and CAP_NET_RAW are missing/,
    });
    assertStringIncludes(remedy, "setcap cap_net_admin,cap_net_raw+ep");
    const firewall = report.expect("input-firewall", {
      status: "warn",
      why: /this check failed/,
    });
    assertStringIncludes(firewall, "as root");

    const some = await ask(server, user.command(args, { tun: true, capabilities: ["net_admin"] }));
    some.expect("capabilities", { status: "fail", why: /^CAP_NET_RAW is missing/ });
    const all = await ask(
      server,
      user.command(args, { tun: true, capabilities: ["net_admin", "net_raw"] }),
    );
    assertEquals(all.finding("capabilities").status, "ok");
  },
  { programs: UNPRIVILEGED_PROGRAMS },
);
