/**
 * Attacks that open what is closed: another program on the client's host removes what the tunnel stands on, or kills
 * it.
 */
import type { BackgroundProcess, TestNamespace, Topology } from "../support/net.ts";
import type { Section } from "../net/support/config.ts";
import { Tap } from "../net/support/outside.ts";
import { simpleTunnel } from "../net/support/simple_tunnel.ts";
import { startVpn, vpnCommand } from "../net/support/programs/vpn.ts";
import { CABLE, delay, layWire, SERVER_OUTSIDE } from "../net/support/wire.ts";
import { type Attack, isRunning, type Outcome } from "./attack.ts";

/** Somebody beyond the default route: what goes there by the cable has leaked. */
const FAR = "198.51.100.9";
/** ms in which what was removed is to be put back. */
const GRACE = 1_500;
const WATCHED = 4_000;

interface Host {
  readonly client: TestNamespace;
  readonly server: TestNamespace;
  readonly process: BackgroundProcess;
  readonly serverProcess: BackgroundProcess;
}

async function connect(topology: Topology, section: Section): Promise<Host> {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await client.output(["ip", "route", "add", "default", "via", SERVER_OUTSIDE]);
  const serverProcess = await startVpn("server", server, tunnel.server({ Egress: "off" }));
  const process = await startVpn(
    "client",
    client,
    tunnel.client(section, { AllowedIPs: "0.0.0.0/0" }),
  );
  return { client, server, process, serverProcess };
}

/** Counts what goes to `FAR` by the cable after `action` and the grace. */
async function leaks(host: Host, action: () => Promise<unknown>): Promise<number> {
  const traffic = host.client.spawn(["ping", "-n", "-q", "-i", "0.1", "-c", "100", FAR]);
  await delay(500);
  await action();
  await delay(GRACE);
  using tap = new Tap(host.server, { device: CABLE });
  await delay(WATCHED);
  const count =
    tap.seen().filter(({ packet }) =>
      packet[16] === 198 && packet[17] === 51 && packet[18] === 100 && packet[19] === 9
    ).length;
  await traffic.stop();
  return count;
}

function removal(name: string, title: string, commands: readonly string[]): Attack {
  return {
    name,
    title,
    attacker: "host",
    programs: ["ip", "nft", "ping"],
    async run(topology): Promise<Outcome> {
      const host = await connect(topology, {});
      const count = await leaks(host, async () => {
        for (const command of commands) await host.client.run(["sh", "-c", command]);
      });
      const { code } = await host.client.run(["ping", "-c", "1", "-W", "3", "10.66.77.1"], {
        timeoutMs: 10_000,
      });
      const said = /put back|restored|degraded|lost/i.test(host.process.stderr);
      return {
        held: count === 0 && code === 0 && isRunning(host.process),
        figure: `${count} packets in the clear after ${GRACE} ms, tunnel ${
          code === 0 ? "works" : "DEAD"
        }, ${said ? "said so" : "SAID NOTHING"}`,
      };
    },
  };
}

function ending(
  name: string,
  title: string,
  end: (host: Host) => Promise<unknown>,
  section: Section = {},
): Attack {
  return {
    name,
    title,
    attacker: "host",
    programs: ["ping"],
    async run(topology) {
      const host = await connect(topology, { KillSwitch: "on", ...section });
      const count = await leaks(host, () => end(host));
      const status = await host.client.run(vpnCommand("status"), { timeoutMs: 15_000 });
      const isBlocked = /blocked/i.test(status.stdout + status.stderr);
      await host.client.run(vpnCommand("cleanup"), { timeoutMs: 30_000 });
      const { stdout } = await host.client.run(["nft", "list", "ruleset"]);
      const isOpen = !stdout.includes("killswitch");
      return {
        held: count === 0 && isBlocked && isOpen,
        figure: `${count} packets in the clear, status ${isBlocked ? "blocked" : "NOT BLOCKED"}, ${
          isOpen ? "opened" : "NOT OPENED"
        } by cleanup`,
      };
    },
  };
}

async function endOf(process: BackgroundProcess): Promise<void> {
  const limit = setTimeout(() => process.signal("SIGKILL"), 30_000);
  await process.status;
  clearTimeout(limit);
}

export const CLOSED_ATTACKS: readonly Attack[] = [
  removal("link-down-up", "`ip link set vpn0 down; up` under a full tunnel", [
    "ip link set vpn0 down",
    "ip link set vpn0 up",
  ]),
  removal("route-flush", "a flush of all the tunnel's routes", [
    "ip route flush dev vpn0",
    "ip route flush dev vpn0 table all",
  ]),
  removal("rule-del", "removal of all routing rules of others, as systemd-networkd does", [
    "ip -4 rule | awk -F: '$1 > 0 && $1 < 32766 { print $1 }' | while read p; do ip rule del pref $p; done",
  ]),
  removal("nft-flush", "`nft flush ruleset` by a firewall that reloads", ["nft flush ruleset"]),
  removal("address-del", "removal of the tunnel's address", [
    "ip address flush dev vpn0",
  ]),
  ending("killed", "SIGKILL of a client with KillSwitch", async ({ process }) => {
    process.signal("SIGKILL");
    await process.status;
  }),
  ending(
    "peer-lost",
    "the server goes away, with KillSwitch and OnPeerTimeout = exit",
    async (host) => {
      host.serverProcess.signal("SIGKILL");
      await endOf(host.process);
    },
    { OnPeerTimeout: "exit" },
  ),
];
