/** That `vpn peer` works on a gateway that runs, and disturbs nobody else there. */
import { AppError } from "../../../lib/process/errors.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { type BackgroundProcess, netTest, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { newIdentity } from "../support/config.ts";
import {
  type Client,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
} from "../support/gateway.ts";
import { ask, statusOf } from "../support/programs/instance.ts";
import { ping } from "../support/traffic/traffic.ts";
import { transfer, TRANSFER_PROGRAMS } from "../support/traffic/transfer.ts";
import { vpnCommand } from "../support/programs/vpn.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, ...TRANSFER_PROGRAMS];
/** What a download may stand still for, in ms, on a machine that starts programs meanwhile. */
const PAUSE = 10_000;

/** A gateway that runs from a file of its own, where `vpn peer` can be told to look. */
class Site implements Disposable {
  readonly folder = temporaryFolder();
  readonly network: GatewayNetwork;

  constructor(network: GatewayNetwork) {
    this.network = network;
  }

  static async make(topology: Topology): Promise<Site> {
    const site = new Site(await GatewayNetwork.lay(topology, { clients: 2 }));
    const { gateway } = site.network;
    await gateway.output(
      vpnCommand("init", "--endpoint", "198.51.100.1", "--out", site.path("server.conf")),
    );
    return site;
  }

  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  async start(): Promise<BackgroundProcess> {
    const args = ["server", "--config", this.path("server.conf")];
    const process = this.network.gateway.spawn(vpnCommand(...args));
    await process.waitFor(/listening on UDP port/);
    return process;
  }

  /** Says `vpn peer ARGS` on the gateway. */
  async peer(...args: readonly string[]): Promise<string> {
    const config = ["--config", this.path("server.conf")];
    return await this.network.gateway.output(vpnCommand("peer", ...args, ...config));
  }

  /** Adds a client that reaches nothing but the gateway. */
  async add(name: string, { endpoint }: Client): Promise<string> {
    return await this.peer("add", name, "--endpoint", endpoint, "--allowed-ips", "10.66.77.0/24");
  }

  async connect(name: string, { namespace }: Client): Promise<BackgroundProcess> {
    const args = ["client", "--config", this.path(`server.peers/${name}.conf`)];
    const process = namespace.spawn(vpnCommand(...args));
    await process.waitFor(/connected to/);
    return process;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

netTest(
  "a peer that is added connects at once, one that is removed is out at once, and a download by another goes on",
  async (topology) => {
    using site = await Site.make(topology);
    const { gateway, clients: [one, other] } = site.network;
    await site.add("one", one!);
    await site.start();
    await site.connect("one", one!);

    const download = transfer(gateway, one!.namespace, {
      address: "10.66.77.2",
      length: 120e6,
      rate: "12M",
    });
    assertMatch(
      await site.add("other", other!),
      /The running gateway on vpn0 has added it too/,
    );
    const old = await site.connect("other", other!);
    assertMatch(
      await site.peer("show", "other"),
      /^running gateway +up\nendpoint +\S+:\d+\nlatest handshake +\d{4}-/m,
    );
    assertMatch(await site.peer("rotate", "other"), /applied it[^]*private key: .*other\.conf/);
    assertEquals(await ping(other!.namespace, INSIDE), { sent: 3, received: 3 });
    const config = () => Deno.readTextFileSync(site.path("server.conf"));
    const [, next] = /^NextPublicKey = (.*)$/m.exec(config())!;
    await old.stop();
    const client = await site.connect("other", other!);
    assertEquals(await ping(other!.namespace, INSIDE), { sent: 3, received: 3 });
    await eventually(() =>
      config().includes(`\nPublicKey = ${next}\n`) && !/^Next/m.test(config()) ? true : null
    );

    assertMatch(await site.peer("remove", "other"), /on vpn0 has removed it too/);
    assertEquals((await ping(other!.namespace, INSIDE, { wait: 1 })).received, 0);
    await client.waitFor(/no packets from \S+: reconnecting/);

    const { intact, longestPause } = await download;
    assert(intact);
    assert(longestPause < PAUSE, `nothing came for ${longestPause} ms`);
    assertEquals(await ping(one!.namespace, INSIDE), { sent: 3, received: 3 });
  },
  { programs: PROGRAMS },
);

netTest(
  "a peer that is removed is out at once, whatever the folder of the configuration is like",
  async (topology) => {
    using site = await Site.make(topology);
    const { gateway, clients: [one] } = site.network;
    const names = ["read-only", "locked", "linked", "stays"];
    for (const name of names) await site.add(name, one!);
    const config = site.path("server.conf");
    // One that may not write its file, as a unit of another system may have it: the command does.
    const server = gateway.spawn([
      ...["unshare", "--mount", "sh", "-ec", 'mount -o bind,ro "$0" "$0"; exec "$@"'],
      ...[site.folder, ...vpnCommand("server", "--config", config)],
    ]);
    await server.waitFor(/listening on UDP port/);
    await site.connect("read-only", one!);
    const peers = async () => (await statusOf(server)).peers.map(({ name }) => name).sort();
    assertEquals(await peers(), [...names].sort());
    const remove = vpnCommand("peer", "remove", "read-only", "--config", config);
    const { code, stderr } = await gateway.run([
      ...["unshare", "--mount", "sh", "-ec", 'mount -o bind,ro "$0" "$0"; exec "$@"'],
      ...[site.folder, ...remove],
    ]);
    assert(code !== 0);
    assertMatch(stderr, /Cannot write .*server\.conf.*access is cut off/);
    assert(Deno.readTextFileSync(config).includes("read-only"));
    assertEquals((await ping(one!.namespace, INSIDE, { wait: 1 })).received, 0);

    const added = await site.peer("add", "late", "--endpoint", "192.0.2.1", "--expires", "1d");
    assertMatch(added, /on vpn0 has added it too/);
    assertMatch(Deno.readTextFileSync(config), /Name = late\n/);
    assertMatch(await site.peer("remove", "late"), /on vpn0 has removed it too/);

    {
      using folderLock = Deno.openSync(site.folder);
      folderLock.lockSync(true);
      using fileLock = Deno.openSync(config);
      fileLock.lockSync(true);
      assertMatch(await site.peer("remove", "locked"), /on vpn0 has removed it too/);
    }

    Deno.renameSync(site.path("server.peers"), site.path("away"));
    Deno.symlinkSync(site.path("away"), site.path("server.peers"));
    const linked = await gateway.run(vpnCommand("peer", "remove", "linked", "--config", config));
    assert(linked.code !== 0);
    assertMatch(linked.stderr, /Cannot remove .*linked\.conf/);
    assertEquals(await peers(), ["stays"]);
  },
  { programs: [...PROGRAMS, "unshare"] },
);

netTest(
  "a peer is out while it is disabled and from the second on at which it expires, also after a restart, and its NAT ports are free",
  async (topology) => {
    using site = await Site.make(topology);
    const { clients: [one, other] } = site.network;
    await site.peer("add", "one", "--endpoint", one!.endpoint);
    await site.add("other", other!);
    const server = await site.start();
    await site.connect("other", other!);
    const client = await site.connect("one", one!);
    assertEquals((await ping(one!.namespace, INTERNET)).received, 3);
    const look = async (process: BackgroundProcess) => {
      const { nat, peers } = await statusOf(process);
      const { admission, expires } = peers.find(({ name }) => name === "one" || name === "two")!;
      return { mappings: nat.mappings, admission, expires };
    };
    assert((await look(server)).mappings > 0);

    assertMatch(await site.peer("disable", "one"), /The running gateway on vpn0 has applied it/);
    assertEquals(await look(server), { mappings: 0, admission: "disabled", expires: null });
    assertEquals((await ping(one!.namespace, INSIDE, { wait: 1 })).received, 0);
    await client.waitFor(/no packets from \S+: reconnecting/);

    await site.peer("enable", "one");
    await site.peer("rename", "one", "two");
    await client.waitFor(/connected to.*reconnecting.*connected to/s);
    // A name that only what runs knows of: what it refuses is not in the file either.
    const stranger = { PublicKey: newIdentity().publicKey, Name: "taken" };
    await ask(server, "add-peer", stranger);
    const config = Deno.readTextFileSync(site.path("server.conf"));
    const refusal = "another peer has the name taken";
    await assertRejects(() => site.peer("rename", "two", "taken"), Error, refusal);
    await assertRejects(() => site.add("taken", other!), Error, refusal);
    assertEquals(Deno.readTextFileSync(site.path("server.conf")), config);
    assertEquals(
      Array.from(Deno.readDirSync(site.path("server.peers")), ({ name }) => name).sort(),
      ["other.conf", "two.conf"],
    );
    await ask(server, "remove-peer", stranger);
    assertEquals((await ping(one!.namespace, INTERNET)).received, 3);

    await site.peer("expire", "two", "4s");
    await server.waitFor(/peer two has expired \(.*\): its session has ended/);
    const { expires, ...rest } = await look(server);
    assertEquals(rest, { mappings: 0, admission: "expired" });
    const late = Date.now() - Date.parse(expires!);
    assert(late >= 0, `it ended ${-late} ms too soon`);
    assertEquals((await ping(one!.namespace, INSIDE, { wait: 1 })).received, 0);

    await server.stop();
    const again = await site.start();
    assertEquals((await look(again)).admission, "expired");
    assertEquals((await ping(one!.namespace, INSIDE, { wait: 1 })).received, 0);
    assertEquals((await ping(other!.namespace, INSIDE)).received, 3);
    await site.peer("expire", "two", "never");
    await eventually(
      async () => (await ping(one!.namespace, INSIDE, { wait: 1 })).received === 3 || null,
      { what: "the peer whose access has no end any more" },
    );
  },
  { programs: PROGRAMS },
);

netTest("networks behind a peer get their routes with it, and lose them", async (topology) => {
  using site = await Site.make(topology);
  const { gateway, client: { identity } } = site.network;
  const server = await site.start();
  const routes = async () =>
    (await gateway.output(["ip", "-o", "route", "show", "dev", "vpn0"]))
      .trim().split("\n").map((line) => line.split(" ")[0]);
  const before = await routes();
  const PublicKey = identity.publicKey;
  // The last is the tunnel's own network, whose route is the kernel's.
  await ask(server, "add-peer", {
    PublicKey,
    AllowedIPs: "10.9.0.0/16, 10.8.0.0/16, 10.66.77.0/24",
  });
  assertEquals((await routes()).sort(), [...before, "10.8.0.0/16", "10.9.0.0/16"].sort());
  await ask(server, "add-peer", { PublicKey, AllowedIPs: "10.9.0.0/16, 10.66.77.0/24" });
  assertEquals((await routes()).sort(), [...before, "10.9.0.0/16"].sort());
  await ask(server, "remove-peer", { PublicKey });
  assertEquals(await routes(), before);
}, { programs: PROGRAMS });

netTest("a gateway refuses a change that cannot be, and goes on as before", async (topology) => {
  using site = await Site.make(topology);
  const { client: { identity } } = site.network;
  const server = await site.start();
  await ask(server, "add-peer", {
    PublicKey: identity.publicKey,
    Name: "one",
    AllowedIPs: "10.9.0.0/16",
  });
  const before = (await statusOf(server)).peers;
  const own = (await statusOf(server)).publicKey;
  for (
    const [params, problem] of [
      [{}, "PublicKey is missing"],
      [{ PublicKey: "x" }, "PublicKey: cannot use this value: a key is 44"],
      [{ PublicKey: 7 }, "Cannot read PublicKey: it is not a string"],
      [{ PublicKey: own }, "its key is the key of this end"],
      [{ PublicKey: newIdentity().publicKey, Name: "one" }, "another peer has the name one"],
      [
        { PublicKey: newIdentity().publicKey, AllowedIPs: "10.9.0.0/33" },
        "AllowedIPs: cannot use ",
      ],
    ] as const
  ) {
    await assertRejects(() => ask(server, "add-peer", params), AppError, problem);
  }
  assertEquals((await statusOf(server)).peers, before);
}, { programs: PROGRAMS });

netTest("what a removed peer held in the NAT is free at once", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { client: { namespace, identity } } = network;
  const server = await network.start();
  await network.connect();
  assertEquals((await ping(namespace, INTERNET)).received, 3);
  assert((await statusOf(server)).nat.mappings > 0);
  await ask(server, "remove-peer", { PublicKey: identity.publicKey });
  const { nat, peers } = await statusOf(server);
  assertEquals([nat.mappings, nat.sessions, peers], [0, 0, []]);
  assertEquals((await ping(namespace, INTERNET, { wait: 1 })).received, 0);
}, { programs: PROGRAMS });
