/**
 * That an edited configuration comes into effect on what runs, by `vpn reload` and by SIGHUP, and disturbs no session.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { UnixDatagramReceiver } from "../../../ffi/sockets/unix_datagram.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { type BackgroundProcess, netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { newIdentity, temporaryFile } from "../support/config.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INSIDE } from "../support/gateway.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { statusOf } from "../support/programs/instance.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { patientClient, vpnCommand } from "../support/programs/vpn.ts";
import { CLIENT_INSIDE, layWire, SERVER_INSIDE } from "../support/wire.ts";

/** Puts a text into a file as an editor does: another file in its place. */
function edit(path: string, text: string): void {
  Deno.writeTextFileSync(`${path}.new`, text, { mode: 0o600 });
  Deno.renameSync(`${path}.new`, path);
}

/** What a stand-in for systemd is told. */
class Manager implements Disposable {
  readonly folder = temporaryFolder();
  readonly path = `${this.folder}/notify`;
  readonly messages: string[] = [];
  readonly #receiver = UnixDatagramReceiver.bind(openLibc(), this.path);

  /** Waits until it is told this, and forgets what came before. */
  async waitFor(line: string): Promise<void> {
    await eventually(() => {
      for (let bytes = this.#receiver.receive(); bytes; bytes = this.#receiver.receive()) {
        this.messages.push(new TextDecoder().decode(bytes));
      }
      const index = this.messages.findIndex((message) => message.split("\n").includes(line));
      if (index < 0) return null;
      this.messages.splice(0, index + 1);
      return true;
    }, { what: line });
  }

  [Symbol.dispose](): void {
    this.#receiver[Symbol.dispose]();
  }
}

netTest(
  "vpn reload has a gateway follow its file, and the sessions that it does not concern go on",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { gateway, client } = network;
    using file = temporaryFile(network.config());
    using manager = new Manager();
    const server = gateway.spawn(vpnCommand("server", "--config", file.path), {
      env: { NOTIFY_SOCKET: manager.path },
    });
    await manager.waitFor("READY=1");
    await network.connect();
    assertEquals((await ping(client.namespace, INSIDE)).received, 3);
    const before = (await statusOf(server)).peers[0]!;
    const reload = () => gateway.run(vpnCommand("reload"));
    const other = newIdentity();
    const text = network.config({ EgressDeny: "203.0.113.0/24", ListenPort: "51821" });
    const peer =
      `\n[Peer]\nName = other\nPublicKey = ${other.publicKey}\nAllowedIPs = 10.9.0.0/16\n`;

    edit(file.path, `${text}${peer}AllowedIPs = nonsense\n`);
    const broken = await reload();
    assertEquals([broken.code, broken.stdout], [2, "vpn0: not reloaded\n"]);
    assertMatch(broken.stderr, /:\d+: AllowedIPs: cannot use "nonsense"/);
    await manager.waitFor("READY=1");
    assertEquals((await statusOf(server)).peers.length, 1);

    edit(file.path, `${text}${peer}`);
    const done = await reload();
    assertEquals([done.code, done.stdout], [2, "vpn0: 1 peer added, EgressDeny\n"]);
    assertMatch(done.stderr, /ListenPort \(line \d+\): cannot change while the tunnel is running/);
    const { peers } = await statusOf(server);
    assertEquals(peers.map(({ name }) => name), [null, "other"]);
    assertEquals(peers[0]!.latestHandshake, before.latestHandshake);
    assertMatch(await gateway.output(["ip", "route", "show", "dev", "vpn0"]), /10\.9\.0\.0\/16/);
    const { drops } = await statusOf(server);
    assertEquals((await ping(client.namespace, "203.0.113.9", { wait: 1 })).received, 0);
    assert(((await statusOf(server)).drops["egress_denied"] ?? 0) > (drops["egress_denied"] ?? 0));

    edit(file.path, network.config());
    server.signal("SIGHUP");
    await server.waitFor(/reloaded \S+: 1 peer removed, EgressDeny\n/);
    assertEquals((await statusOf(server)).peers.map(({ latestHandshake }) => latestHandshake), [
      before.latestHandshake,
    ]);
    assertEquals((await ping(client.namespace, "203.0.113.9")).received, 3);
    server.signal("SIGTERM");
    await manager.waitFor("STOPPING=1");
  },
  { programs: GATEWAY_PROGRAMS },
);

/** The routes by the tunnel. */
async function routesOf(namespace: { output(command: string[]): Promise<string> }) {
  const routes = await namespace.output(["ip", "-o", "route", "show", "dev", "vpn0"]);
  return routes.trim().split("\n").map((line) => line.split(" ")[0]!).sort();
}

netTest(
  "SIGHUP has a client follow its file, and neither ends it nor opens the host that it keeps closed",
  async (topology) => {
    const { server, client } = await layWire(topology);
    await server.output(["ip", "address", "add", "192.0.2.77/32", "dev", "lo"]);
    await client.output(["ip", "route", "add", "192.0.2.77/32", "via", "192.0.2.1"]);
    const tunnel = simpleTunnel();
    using serverFile = temporaryFile(tunnel.server());
    const gateway = server.spawn(vpnCommand("server", "--config", serverFile.path));
    await gateway.waitFor(/listening on UDP port/);
    const config = (more: Record<string, string>) =>
      patientClient(tunnel.client({ KillSwitch: "on" }, more));
    using file = temporaryFile(config({}));
    using manager = new Manager();
    using files = new HostFiles("nameserver 192.0.2.53\n");
    const command = files.command(vpnCommand("client", "--config", file.path));
    const laptop: BackgroundProcess = client.spawn(command, {
      env: { NOTIFY_SOCKET: manager.path },
    });
    await manager.waitFor("READY=1");
    const { latestHandshake } = (await statusOf(laptop)).peers[0]!;

    const networks = `${SERVER_INSIDE}/32, ${CLIENT_INSIDE}/24`;
    edit(file.path, config({ AllowedIPs: networks, PersistentKeepalive: "9" }));
    laptop.signal("SIGHUP");
    await laptop.waitFor(/reloaded \S+: 1 peer changed\n/);
    const [peer] = (await statusOf(laptop)).peers;
    assertEquals([peer!.latestHandshake, peer!.persistentKeepalive], [latestHandshake, 9]);
    assert((await routesOf(client)).includes(SERVER_INSIDE));
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    assertMatch(await client.output(["nft", "list", "tables"]), /vpn_vpn0_killswitch/);

    // The same server, elsewhere: a handshake begins there.
    edit(file.path, config({ Endpoint: "192.0.2.77:51820", AllowedIPs: networks }));
    const moved = await client.run(vpnCommand("reload", "vpn0"));
    assertEquals([moved.code, moved.stdout], [0, "vpn0: 1 peer changed\n"], moved.stderr);
    assertEquals((await statusOf(laptop)).peers[0]!.endpoint, "192.0.2.77:51820");
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);

    const ours = Deno.readTextFileSync(file.path);
    for (const server of ["192.0.2.1", "192.0.2.2"]) {
      edit(file.path, ours.replace("[Interface]", `$&\nDNS = ${server}`));
      const { code, stdout, stderr } = await client.run(vpnCommand("reload", "vpn0"));
      assertEquals([code, stdout], [0, "vpn0: DNS\n"], stderr);
      assertMatch(files.resolvConf ?? "", new RegExp(`^nameserver ${server}$`, "m"));
    }
    await endWell(laptop);
    assertEquals(files.resolvConf, "nameserver 192.0.2.53\n");
    assertEquals(await client.output(["nft", "list", "tables"]), "");
  },
  { programs: [...HOST_FILES_PROGRAMS, "ip", "ping", "nft"] },
);
