/** That everything is taken back where the directory of the journals is full: no write that fails ends an undoing. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { temporaryFile } from "../support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { layWire } from "../support/wire.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "nft", "unshare", "mount", "head"];
/** Takes all that is left, down to the last page. */
const FILL = "head -c 1M /dev/zero >/run/vpn/full 2>/dev/null; true";

/** More names to search than the last page of a journal has room for. */
const LONG = Array.from({ length: 100 }, (_, index) => `${"x".repeat(50)}.n${index}.example`)
  .join();

/**
 * The command line that runs a client in a mount namespace whose `/run/vpn` is small, ends it with a signal when
 * SIGTERM comes, and then runs `vpn cleanup`. What that says, and what is left in the directory, is printed.
 */
function withSmallRun(client: readonly string[], signal: string): string[] {
  const script = `
    mount -t tmpfs -o size=64k none /run/vpn
    "$@" & pid=$!
    trap 'kill -${signal} $pid' TERM
    wait $pid || true
    code=0; wait $pid || code=$?
    echo "ended with $code"
    ${vpnCommand("cleanup").join(" ")}
    echo "left: $(ls -A /run/vpn)."`;
  return ["unshare", "--mount", "sh", "-ec", script, "sh", ...client];
}

for (const [signal, code] of [["TERM", 0], ["KILL", 137]] as const) {
  netTest(
    `a full /run leaves nothing of a client with everything that SIG${signal} ends`,
    async (topology) => {
      const { client, server } = await layWire(topology);
      const tunnel = simpleTunnel();
      await startVpn("server", server, tunnel.server({ Transport: "auto" }));
      const before = await hostState(client);
      const section = {
        ...{ KillSwitch: "on", Transport: "faketcp", DNS: "10.66.77.1", PostUp: FILL },
        PostDown: "true",
      };
      using file = temporaryFile(tunnel.client(section, { AllowedIPs: "0.0.0.0/0, ::/0" }));
      const command = withSmallRun(vpnCommand("client", "--config", file.path), signal);
      const process = client.spawn(command);
      await process.waitFor(/connected to \S+/);
      process.signal("SIGTERM");
      assertEquals((await process.status).code, 0, process.stderr);
      assertMatch(process.stdout, new RegExp(`^ended with ${code}$`, "m"));
      assertMatch(process.stdout, signal === "TERM" ? /^nothing to undo$/m : /^undid for vpn0 /m);
      assertMatch(process.stdout, /^left: full\.$/m);
      assertEquals(await hostState(client), before);
    },
    { programs: PROGRAMS },
  );
}

netTest("a start that finds /run full says so, and changes nothing", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", server, tunnel.server());
  const before = await hostState(client);
  using file = temporaryFile(tunnel.client({ KillSwitch: "on" }, { AllowedIPs: "0.0.0.0/0" }));
  const script = `mount -t tmpfs -o size=64k none /run/vpn; ${FILL}; "$@"
    echo "left: $(ls -A /run/vpn)."`;
  const connect = vpnCommand("client", "--config", file.path);
  const result = await client.run(["unshare", "--mount", "sh", "-c", script, "sh", ...connect]);
  assertMatch(result.stderr, /^vpn: Cannot write the journal of changes to \/run\/vpn\/\S+: .+: /m);
  assertEquals(result.stdout, "left: full.\n");
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

netTest("a reload that finds /run full leaves the resolvers as they were", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", server, tunnel.server());
  const before = await hostState(client);
  const text = (DNS: string) =>
    tunnel.client({ DNS, PostUp: FILL }, { AllowedIPs: "0.0.0.0/0, ::/0" });
  using file = temporaryFile(text("10.66.77.1"));
  const script = 'mount -t tmpfs -o size=64k none /run/vpn; exec "$@"';
  const connect = vpnCommand("client", "--config", file.path);
  const process = client.spawn(["unshare", "--mount", "sh", "-ec", script, "sh", ...connect]);
  const resolvConf = `/etc/netns/${client.name}/resolv.conf`;
  await process.waitFor(/connected to \S+/);
  assertMatch(Deno.readTextFileSync(resolvConf), /^nameserver 10\.66\.77\.1$/m);
  Deno.writeTextFileSync(file.path, text(`10.66.77.9, ${LONG}`));
  process.signal("SIGHUP");
  await process.waitFor(/error vpn\.client: Cannot write the journal of changes to \S+: /);
  assertMatch(Deno.readTextFileSync(resolvConf), /^nameserver 10\.66\.77\.1$/m);
  process.signal("SIGTERM");
  assertEquals((await process.ended()).code, 0, process.stderr);
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });
