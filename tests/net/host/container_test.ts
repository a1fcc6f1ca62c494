/** Tests of what containers and small kernels lack: a writable `/proc/sys`, nftables, `/dev/net/tun`. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type RunResult, type TestNamespace } from "../../support/net.ts";
import { temporaryFile } from "../support/config.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { patientClient, startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, CLIENT_OUTSIDE, layWire, SERVER_INSIDE } from "../support/wire.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const SRC_VALID_MARK = "net.ipv4.conf.all.src_valid_mark";
const FULL = { AllowedIPs: "0.0.0.0/0" };
const MOUNTS = ["unshare", "mount"];

/** The command line that runs a program where `/proc/sys` is read-only, as in containers. */
function readOnlySysctls(command: readonly string[]): string[] {
  return withMounts(
    "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys",
    command,
  );
}

function withMounts(mounts: string, command: readonly string[]): string[] {
  return ["unshare", "--mount", "sh", "-ec", `${mounts}; exec "$@"`, "sh", ...command];
}

/** The command line that runs a program on a kernel without nftables. */
function withoutNftables(command: readonly string[]): string[] {
  const program = new URL("../support/programs/without_nftables.ts", import.meta.url).pathname;
  return [Deno.execPath(), "run", "--quiet", "--allow-all", program, ...command];
}

/** Runs one that is to end by itself. */
async function runIn(
  namespace: TestNamespace,
  surroundings: (command: readonly string[]) => string[],
  role: "server" | "client" | "relay",
  ...args: readonly string[]
): Promise<RunResult> {
  return await namespace.run(surroundings(vpnCommand(role, ...args)));
}

/** Fails unless a start was refused with these words and code 5, and left nothing that cannot be undone. */
function assertRefused({ code, stderr }: RunResult, words: RegExp): void {
  assertMatch(stderr, words);
  assertEquals(/cannot undo/.test(stderr), false, stderr);
  assertEquals(code, 5);
}

netTest(
  "a client names the sysctl that a read-only /proc/sys keeps it from, and needs none that is set",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    using config = temporaryFile(patientClient(tunnel.client({}, FULL)));
    assertRefused(
      await runIn(client, readOnlySysctls, "client", "--config", config.path),
      /^vpn: .*src_valid_mark is not 1, and \/proc\/sys is read-only: .*`sysctls:`.*`--sysctl net\.ipv4\.conf\.all\.src_valid_mark=1`/m,
    );
    await client.output(["sysctl", "-q", "-w", `${SRC_VALID_MARK}=1`]);
    const process = client.spawn(
      readOnlySysctls(vpnCommand("client", "--config", config.path)),
    );
    await process.waitFor(/connected to \S+/);
    await endWell(process);
    assertEquals(await client.output(["sysctl", "-n", SRC_VALID_MARK]), "1\n");
  },
  { programs: [...MOUNTS, "sysctl"] },
);

netTest(
  "a gateway runs where /proc/sys is read-only, and names what ports of the kernel's own would take",
  async (topology) => {
    const { server } = await layWire(topology);
    await server.output(["ip", "route", "add", "default", "via", CLIENT_OUTSIDE]);
    const tunnel = simpleTunnel();
    using overlapping = temporaryFile(tunnel.server({ NatPorts: "40000-40999" }));
    assertRefused(
      await runIn(server, readOnlySysctls, "server", "--config", overlapping.path),
      /^vpn: .*`--sysctl net\.ipv4\.ip_local_reserved_ports=40000-40999`.*, or choose NatPorts outside/m,
    );
    using config = temporaryFile(tunnel.server());
    const process = server.spawn(readOnlySysctls(vpnCommand("server", "--config", config.path)));
    await process.waitFor(/listening on UDP port/);
    await endWell(process);
    assertEquals(/cannot undo/.test(process.stderr), false, process.stderr);
    // IPv6 goes as far as it can, and where the file asks for more, that is refused.
    await giveIpv6(server, CABLE, "2001:db8:1::1/64");
    await server.output(["ip", "route", "add", "default", "via", "2001:db8:1::9"]);
    const Address = `${SERVER_INSIDE}/24, fd00:77::1/64`;
    const why =
      "Cannot forward to eth0, as Egress6 asks: net\\.ipv6\\.conf\\.all\\.forwarding is not 1, " +
      ".*`--sysctl net\\.ipv6\\.conf\\.all\\.forwarding=1`";
    using asked = temporaryFile(tunnel.server({ Address, Egress6: "routed" }));
    assertRefused(
      await runIn(server, readOnlySysctls, "server", "--config", asked.path),
      new RegExp(`^vpn: ${why}`, "m"),
    );
    // The gateway's own NAT needs nothing forwarded; by a netfilter queue it has no IPv6, and does without.
    const refused = `${why}.*: IPv6 packets to the internet are refused`;
    const own = "IPv6 packets to the internet leave through eth0 with source 2001:db8:1::1 ";
    for (const [Capture, told] of [["packet", own], ["nfqueue", refused]] as const) {
      using both = temporaryFile(tunnel.server({ Address, Capture }));
      const without = server.spawn(readOnlySysctls(vpnCommand("server", "--config", both.path)));
      await without.waitFor(/listening on UDP port/);
      assertMatch(without.stderr, new RegExp(told));
      await endWell(without);
    }
  },
  { programs: [...MOUNTS, "ip"] },
);

netTest(
  "without nftables, what needs them is refused with code 5 and leaves nothing, and a client connects",
  async (topology) => {
    const { client, server } = await layWire(topology);
    await server.output(["ip", "route", "add", "default", "via", CLIENT_OUTSIDE]);
    const tunnel = simpleTunnel();
    using gateway = temporaryFile(tunnel.server());
    assertRefused(
      await runIn(server, withoutNftables, "server", "--config", gateway.path),
      /^vpn: Cannot forward to the internet: this kernel has no nftables .*`modprobe nf_tables`.*, or set Egress = off$/m,
    );
    assertRefused(
      await runIn(server, withoutNftables, "relay", ...["--listen", "faketcp://0.0.0.0:443"], ...[
        "--connect",
        "udp://127.0.0.1:9",
      ]),
      /^vpn: Cannot use fake TCP: this kernel has no nftables /m,
    );
    using off = temporaryFile(tunnel.server({ Egress: "off" }));
    const serving = server.spawn(withoutNftables(vpnCommand("server", "--config", off.path)));
    await serving.waitFor(/listening on UDP port/);
    using closed = temporaryFile(patientClient(tunnel.client({ KillSwitch: "on" }, FULL)));
    assertRefused(
      await runIn(client, withoutNftables, "client", "--config", closed.path),
      /^vpn: Cannot use KillSwitch = on: this kernel has no nftables .*, or set KillSwitch = off$/m,
    );
    using open = temporaryFile(patientClient(tunnel.client()));
    const connected = client.spawn(withoutNftables(vpnCommand("client", "--config", open.path)));
    await connected.waitFor(/connected to \S+/);
    await endWell(connected);
    await endWell(serving);
  },
  { programs: ["ip"] },
);

netTest(
  "where /dev/net/tun is missing, or a container may not open it, the remedy is named",
  async (topology) => {
    const { client } = await layWire(topology);
    using config = temporaryFile(simpleTunnel().client());
    const absent = (command: readonly string[]) =>
      withMounts("mount -t tmpfs tmpfs /dev/net", command);
    assertRefused(
      await runIn(client, absent, "client", "--config", config.path),
      /^vpn: Cannot open \/dev\/net\/tun: .*`--device \/dev\/net\/tun`.*mknod \/dev\/net\/tun c 10 200`/m,
    );
    // A number that no driver has: as with a kernel whose module is not loaded.
    const dead = (command: readonly string[]) =>
      withMounts("mount -t tmpfs tmpfs /dev/net; mknod /dev/net/tun c 240 99", command);
    assertRefused(
      await runIn(client, dead, "client", "--config", config.path),
      /^vpn: Cannot open \/dev\/net\/tun: .*`modprobe tun`/m,
    );
  },
  { programs: [...MOUNTS, "mknod"] },
);

netTest(
  "a gateway names the capability that it lacks: for its DNS proxy, for a low port, for fake TCP",
  async (topology) => {
    const { server } = await layWire(topology);
    for (
      const [section, name, what] of [
        [{ DnsProxy: "9.9.9.9" }, "NET_BIND_SERVICE", "TCP port 53"],
        [{ ListenPort: 443 }, "NET_BIND_SERVICE", "UDP port 443"],
        [{ Transport: "auto" }, "NET_RAW", "fake TCP"],
      ] as const
    ) {
      const without = (command: readonly string[]) => [
        "setpriv",
        `--bounding-set=-${name.toLowerCase()}`,
        ...command,
      ];
      using config = temporaryFile(simpleTunnel().server({ Egress: "off", ...section }));
      assertRefused(
        await runIn(server, without, "server", "--config", config.path),
        new RegExp(`^vpn: Cannot use ${what}: CAP_${name} is missing: .*--cap-add ${name}`, "m"),
      );
    }
  },
  { programs: ["setpriv"] },
);

netTest("where /run is read-only, the file system to mount is named", async (topology) => {
  const { client } = await layWire(topology);
  using config = temporaryFile(simpleTunnel().client());
  // The file may stand below /run itself.
  const mounts =
    `mkdir -p /mnt && mount -t tmpfs tmpfs /mnt && cp ${config.path} /mnt/client.conf && ` +
    "mount -t tmpfs tmpfs /run && mount -o remount,ro /run";
  assertRefused(
    await runIn(
      client,
      (command) => withMounts(mounts, command),
      "client",
      "--config",
      "/mnt/client.conf",
    ),
    /^vpn: Cannot write the journal of changes to \/run\/vpn: it is read-only: .*`--tmpfs \/run`/m,
  );
}, { programs: MOUNTS });
