/** Tests of a client's `DNS` and of `vpn cleanup` where `resolv.conf` cannot be replaced, removed or written. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, run, type Topology } from "../../support/net.ts";
import { temporaryFile } from "../support/config.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { endWell, killHard, type SimpleTunnel, simpleTunnel } from "../support/simple_tunnel.ts";
import { patientClient, startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { layWire, type Wire } from "../support/wire.ts";

const DNS = "10.66.77.1";
const BEFORE = "nameserver 192.0.2.53\n";

/** A wire with a server on it. */
async function laid(topology: Topology): Promise<Wire & { tunnel: SimpleTunnel }> {
  const wire = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", wire.server, tunnel.server());
  return { ...wire, tunnel };
}

netTest(
  "cleanup works inside `ip netns exec`, where resolv.conf is a mount that cannot be removed",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    const outside = topology.namespace("outside");
    const process = await startVpn(
      "client",
      outside,
      tunnel.client({ DNS }),
      "--netns",
      client.name,
    );
    const path = `/etc/netns/${client.name}/resolv.conf`;
    try {
      await killHard(process);
      const script = `"$@"; echo "code $?"; echo "[$(grep -v ^# /etc/resolv.conf)]"`;
      const exec = ["ip", "netns", "exec", client.name, "sh", "-c", script, "sh"];
      const { stdout, stderr } = await run(null, [...exec, ...vpnCommand("cleanup")]);
      assertEquals(stderr, "");
      assertMatch(stdout, /^undid for vpn0 \(process \d+\): \S+\/resolv\.conf$/m);
      assertMatch(stdout, /^code 0\n\[\]$/m);
    } finally {
      await Deno.remove(path).catch(() => {});
      await Deno.remove(`/etc/netns/${client.name}`).catch(() => {});
    }
  },
  { programs: ["ip"] },
);

netTest(
  "a read-only resolv.conf ends the start with code 5 and the remedy, unless it names the resolvers already",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    {
      using files = new HostFiles(BEFORE, { fileIsMount: true, isReadOnly: true });
      using config = temporaryFile(patientClient(tunnel.client({ DNS })));
      const command = files.command(vpnCommand("client", "--config", config.path));
      const { code, stderr } = await client.run(command, { env: files.env });
      assertEquals(code, 5);
      assertMatch(
        stderr,
        /^vpn: Cannot set DNS: \/etc\/resolv\.conf cannot be written: it is read-only: .*`--dns`.*$/m,
      );
      // Nothing is left to undo: the journal has no entry that nobody can ever undo.
      assertEquals(/cannot undo/.test(stderr), false, stderr);
      assertEquals(/resolv/.test(await files.cleanup(client)), false);
      assertEquals(files.resolvConf, BEFORE);
    }
    using files = new HostFiles(`# dns\nnameserver ${DNS}\n`, {
      fileIsMount: true,
      isReadOnly: true,
    });
    await endWell(await files.startClient(client, tunnel.client({ DNS })));
  },
  { programs: HOST_FILES_PROGRAMS },
);

netTest(
  "an immutable resolv.conf ends the start with code 5 and names chattr",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    using files = new HostFiles(BEFORE);
    using config = temporaryFile(patientClient(tunnel.client({ DNS })));
    await client.output(["chattr", "+i", files.resolvConfPath]);
    try {
      const command = files.command(vpnCommand("client", "--config", config.path));
      const { code, stderr } = await client.run(command, { env: files.env });
      assertEquals(code, 5);
      assertMatch(
        stderr,
        /^vpn: Cannot set DNS: .* is immutable: `chattr -i \/etc\/resolv\.conf`, or /m,
      );
      assertEquals(/resolv/.test(await files.cleanup(client)), false);
    } finally {
      await client.output(["chattr", "-i", files.resolvConfPath]);
    }
  },
  { programs: [...HOST_FILES_PROGRAMS, "chattr"] },
);
