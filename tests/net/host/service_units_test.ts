/**
 * Runs the server and the client shut in as their systemd units shut them in, where no systemd runs: with the units'
 * capabilities and no others, on a file system that can be written to only where the units say so.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { temporaryFile } from "../support/config.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, layWire, SERVER_INSIDE } from "../support/wire.ts";
import { expectReached } from "../support/traffic/traffic.ts";

/** What systemd puts in place of %i. */
const INSTANCE = `t${Deno.pid}`;

/** What a unit says, by key; the last one counts. */
function readUnit(role: "server" | "client" | "killswitch"): ReadonlyMap<string, string> {
  const url = new URL(`../../../lib/packaging/vpn-${role}@.service`, import.meta.url);
  const lines = Deno.readTextFileSync(url).matchAll(/^(\w+)=(.*)$/gm);
  return new Map(
    Array.from(lines, ([, key, value]) => [key!, value!.replaceAll("%i", INSTANCE)]),
  );
}

/** Removes what a unit's start has made for one instance, as systemd does at its end. */
function removeRuntimeFolders(): void {
  for (const folder of [`/run/vpn-console/${INSTANCE}`, "/run/vpn-console"]) {
    try {
      Deno.removeSync(folder);
    } catch {
      // It is there for others, or has not been made.
    }
  }
}

/** The command line that runs `command` as a unit does. */
function shutIn(unit: ReadonlyMap<string, string>, command: readonly string[]): string[] {
  const words = (key: string) => (unit.get(key) ?? "").split(" ").filter((word) => word !== "");
  const made = [
    ...words("RuntimeDirectory").map((name) => `/run/${name}`),
    ...words("CacheDirectory").map((name) => `/var/cache/${name}`),
    // systemd names it to the program; here it is one of the test's own.
    ...words("StateDirectory").map(() => '"$STATE_DIRECTORY"'),
  ];
  const writable = words("ReadWritePaths").map((path) => path.replace(/^-/, ""));
  const script = `
    mkdir -p ${made.join(" ")}
    for path in ${[...made, ...writable].join(" ")}; do
      [ ! -e "$path" ] || mount --bind "$path" "$path"
    done
    for path in / /etc; do
      ! mountpoint -q "$path" || mount -o remount,bind,ro "$path"
    done
    for folder in /usr /etc; do
      if touch "$folder/written" 2>/dev/null; then exit 99; fi
    done
    exec "$@"`;
  const capabilities = words("CapabilityBoundingSet")
    .map((name) => name.replace("CAP_", "+").toLowerCase());
  return [
    ...["unshare", "--mount", "sh", "-ec", script, "sh"],
    ...["setpriv", "--no-new-privs", `--bounding-set=-all,${capabilities.join(",")}`],
    ...command,
  ];
}

netTest(
  "the units' sandboxes leave the server and the client what they need, undoing included",
  async (topology) => {
    const { server, client } = await layWire(topology);
    using cleanup = new DisposableStack();
    cleanup.defer(removeRuntimeFolders);
    await server.output(["ip", "route", "add", "default", "via", "192.0.2.9", "dev", CABLE]);
    const tunnel = simpleTunnel();
    using serverConfig = temporaryFile(tunnel.server({ DnsProxy: "192.0.2.9" }));
    using clientConfig = temporaryFile(
      tunnel.client({ DNS: SERVER_INSIDE }, { AllowedIPs: "0.0.0.0/0" }),
    );
    using files = new HostFiles("nameserver 192.0.2.53\n");
    const command = (role: "server" | "client", path: string) =>
      files.command(shutIn(readUnit(role), vpnCommand(role, "--config", path)));

    const gateway = server.spawn(command("server", serverConfig.path));
    await gateway.waitFor(/listening on UDP port \d+/);
    const laptop = client.spawn(command("client", clientConfig.path));
    await laptop.waitFor(/connected to \S+/);

    await expectReached(client, SERVER_INSIDE);
    assertStringIncludes(files.resolvConf ?? "", `nameserver ${SERVER_INSIDE}`);
    for (const { pid } of [gateway, laptop]) {
      assertMatch(Deno.readTextFileSync(`/proc/${pid}/status`), /^NoNewPrivs:\t1$/m);
    }
    await endWell(laptop);
    assertEquals(files.resolvConf, "nameserver 192.0.2.53\n");
    await endWell(gateway);
  },
  { programs: [...HOST_FILES_PROGRAMS, "setpriv", "mountpoint", "ip", "ping"] },
);

netTest("the kill switch's unit closes the host in its sandbox", async (topology) => {
  const host = topology.namespace("host");
  const unit = readUnit("killswitch");
  const [, ...words] = unit.get("ExecStart")!.split(" ");
  await host.output(shutIn(unit, vpnCommand(...words)));
  const listed = await host.output(["nft", "list", "ruleset"]);
  assertMatch(listed, new RegExp(`table inet vpn_${INSTANCE}_killswitch \\{(.|\\n)*\\bdrop\\b`));
  await host.output(vpnCommand("cleanup"));
  assertEquals(await host.output(["nft", "list", "ruleset"]), "");
}, { programs: ["unshare", "mount", "mountpoint", "setpriv", "nft"] });
