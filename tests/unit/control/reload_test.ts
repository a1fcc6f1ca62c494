/** Tests what a reload makes of an edited file, for a server and for a client, on stand-ins for what runs. */
import { ClientReload } from "../../../lib/commands/client/client_reload.ts";
import { type LiveChange, type LivePeer, peersByKey } from "../../../lib/control/live_peers.ts";
import { changedPeers } from "../../../lib/control/live_peers.ts";
import { livePeer } from "../../../lib/control/peer_params.ts";
import { RequestError } from "../../../lib/control/protocol.ts";
import { AppError, ExitCode } from "../../../lib/process/errors.ts";
import { getLogger } from "../../../lib/process/logging.ts";
import { atOnce } from "../../../lib/process/pace.ts";
import {
  Reloader,
  ReloadRequests,
  type ReloadResult,
  type ReloadRole,
  restartLine,
  summaryOf,
} from "../../../lib/control/reload.ts";
import { ServerReload } from "../../../lib/commands/server/server_reload.ts";
import type { Config } from "../../../lib/core/config/config.ts";
import { ConfigError } from "../../../lib/core/config/config_error.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { formatCidr, formatIpv4, parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { sampleKeys } from "../../support/config/sample_keys.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

/** Peers that run, without a data plane; and what was asked of them. */
class StubPeers {
  peers: ReadonlyMap<string, LivePeer>;
  readonly asked: LiveChange[] = [];
  refusal: Error | null = null;

  constructor(config: Config) {
    this.peers = peersByKey(config.peers);
  }

  change(changes: unknown): Promise<void> {
    const all = changes as readonly LiveChange[];
    if (this.refusal !== null) return Promise.reject(this.refusal);
    this.asked.push(...all);
    this.peers = atOnce(changedPeers(this.peers, all));
    return Promise.resolve();
  }
}

/** A tunnel that runs from a file which can be edited. */
class Site<Kind extends Config> implements Disposable {
  readonly path: string = Deno.makeTempFileSync({ suffix: ".conf" });
  readonly peers: StubPeers;
  readonly told: string[] = [];
  readonly reloader: Reloader<Kind>;

  constructor(text: string, role: ReloadRole<Kind>) {
    Deno.writeTextFileSync(this.path, text);
    const config = role.validate(parseConfig(text, this.path));
    this.peers = new StubPeers(config);
    this.reloader = new Reloader({
      path: this.path,
      interfaceName: "vpn0",
      config,
      role,
      peers: this.peers,
      manager: {
        reloading: () => this.told.push("reloading"),
        reloaded: () => this.told.push("reloaded"),
      },
      logger: getLogger("server"),
    });
  }

  edit(text: string): Promise<ReloadResult> {
    Deno.writeTextFileSync(this.path, text);
    return this.reloader.reload();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

const PEERS = [2, 3, 4].map((byte) => sampleKeys(byte).publicKey);

function peer(index: number, ...lines: readonly string[]): string {
  return ["[Peer]", `PublicKey = ${PEERS[index]}`, ...lines, ""].join("\n");
}

function section(...lines: readonly string[]): string {
  const own = ["[Interface]", `PrivateKey = ${sampleKeys(1).privateKey}`];
  return [...own, "Address = 10.66.77.1/24", ...lines, ""].join("\n");
}

/** A gateway, and what was asked of its parts. */
function serverRole({ hasProxy = true, refusal = null as Error | null } = {}) {
  const asked: unknown[] = [];
  const role = new ServerReload({
    gateway: {
      requireFollowable: () => {
        if (refusal !== null) throw refusal;
      },
      setNetworks: ({ egressAllow }) => asked.push(egressAllow),
    },
    dataPlane: {
      setClientToClient: (allowed) => asked.push(allowed),
      setEgressRules: () => {},
    },
    dnsProxy: hasProxy
      ? { setUpstreams: (upstreams) => Promise.resolve(void asked.push(upstreams)) }
      : null,
  });
  return { role, asked };
}

hostTest(
  "a reload of a file that says the same changes nothing, and asks nothing of any peer",
  async () => {
    const { role, asked } = serverRole();
    const text = section("DnsProxy = 1.1.1.1") + peer(0, "AllowedIPs = 10.66.77.2/32") + peer(1);
    using site = new Site(text, role);
    const result = await site.edit(`# a comment\n\n${text.replace("[Peer]", "\n\n[Peer]")}`);
    assertEquals([result.changes, result.restart, result.problems], [[], [], []]);
    assertEquals(result.exitCode, ExitCode.ok);
    assertEquals(summaryOf(result), "nothing to change");
    assertEquals([site.peers.asked, asked], [[], []]);
    assertEquals(site.told, ["reloading", "reloaded"]);
  },
);

hostTest("a reload changes the peers that differ, and no others", async () => {
  const { role } = serverRole();
  using site = new Site(
    section() + peer(0, "AllowedIPs = 10.66.77.2/32", "Name = stays") +
      peer(1, "AllowedIPs = 10.66.77.3/32"),
    role,
  );
  const result = await site.edit(
    section() + peer(0, "AllowedIPs = 10.66.77.2/32", "Name = stays") +
      peer(2, "AllowedIPs = 10.66.77.3/32"),
  );
  assertEquals(result.changes, ["1 peer added", "1 peer removed"]);
  assertEquals(site.peers.asked.map(({ kind }) => kind), ["remove", "put"]);
  assertEquals([...site.peers.peers.keys()], [PEERS[0], PEERS[2]]);
  const changed = await site.edit(
    section() + peer(0, "AllowedIPs = 10.66.77.2/32", "PersistentKeepalive = 25") +
      peer(2, "AllowedIPs = 10.66.77.3/32", "RateLimit = 10M"),
  );
  assertEquals(changed.changes, ["2 peers changed"]);
});

hostTest("a peer of a gateway that the file gives a name as its place is looked up", async () => {
  const { role } = serverRole();
  using site = new Site(section() + peer(0, "AllowedIPs = 10.66.77.2/32"), role);
  await site.edit(section() + peer(0, "AllowedIPs = 10.66.77.2/32", "Endpoint = localhost:7"));
  const [change] = site.peers.asked;
  assert(change?.kind === "put");
  assertEquals(change.peer.endpoint, { host: "localhost", address: 0x7f000001, port: 7 });
});

hostTest("a reload runs no command for a key that one has given at the start", async () => {
  const { role } = serverRole();
  using site = new Site(section(), role);
  const ran = `${site.path}.ran`;
  const command = `PostUp = wg set %i private-key <(touch ${ran})`;
  const text = ["[Interface]", command, "Address = 10.66.77.1/24", "EgressDeny = lan", ""];
  const result = await site.edit(text.join("\n"));
  assertEquals([result.changes, result.restart, result.problems], [["EgressDeny"], [], []]);
  assertThrows(() => Deno.statSync(ran), Deno.errors.NotFound);
});

hostTest("a peer that was added meanwhile, as the file has it, is none that changes", async () => {
  const { role } = serverRole();
  using site = new Site(section(), role);
  const added = peer(0, "Name = ann", "AllowedIPs = 10.66.77.2/32");
  const params = {
    PublicKey: PEERS[0]!,
    Name: "ann",
    AllowedIPs: "10.66.77.2/32",
    PersistentKeepalive: "0",
  };
  await site.peers.change([{ kind: "put", peer: livePeer(params) }]);
  site.peers.asked.length = 0;
  assertEquals((await site.edit(section() + added)).changes, []);
  assertEquals(site.peers.asked, []);
});

hostTest("a reload leaves a peer the preshared key that a command has set", async () => {
  const { role } = serverRole();
  using site = new Site(section() + peer(0, "AllowedIPs = 10.66.77.2/32"), role);
  const [only] = site.peers.peers.values();
  const presharedKey = new Uint8Array(32).fill(7);
  await site.peers.change([{ kind: "put", peer: { ...only!, presharedKey } }]);
  const command = `PostUp = wg set %i peer ${PEERS[0]} preshared-key <(exit 1)`;
  const result = await site.edit(section(command) + peer(0, "AllowedIPs = 10.66.77.2/32"));
  assertEquals([result.changes, result.restart, result.problems], [[], [], []]);
});

hostTest(
  "a reload follows no file of another tunnel, and names a key that is another alone",
  async () => {
    const { role } = serverRole();
    const text = section() + peer(0, "AllowedIPs = 10.66.77.2/32");
    using site = new Site(text, role);
    const other = (file: string) =>
      file.replace(sampleKeys(1).privateKey, sampleKeys(9).privateKey);
    const refused = await site.edit(other(section("EgressDeny = lan") + peer(1)));
    assertEquals([refused.changes, refused.exitCode], [[], ExitCode.usage]);
    assertStringIncludes(refused.problems[0]!, "this is the file of another tunnel");
    assertEquals(site.peers.asked, []);
    const named = await site.edit(other(text + peer(1)));
    assertEquals([named.changes, named.restart], [["1 peer added"], ["PrivateKey (line 2)"]]);
  },
);

hostTest("a reload waits for no pipe that has taken the place of the file", async () => {
  const { role } = serverRole();
  const text = section() + peer(0, "AllowedIPs = 10.66.77.2/32");
  using site = new Site(text, role);
  Deno.removeSync(site.path);
  assert(new Deno.Command("mkfifo", { args: [site.path] }).outputSync().success);
  const { changes, problems, exitCode } = await site.reloader.reload();
  assertEquals([changes, exitCode], [[], ExitCode.usage]);
  assertStringIncludes(problems[0]!, "it is no regular file");
});

hostTest("a peer whose endpoint the file has as before stays where it has roamed to", async () => {
  const { role } = serverRole();
  const text = (endpoint: string, keepalive: number) =>
    section() + peer(0, `Endpoint = ${endpoint}`, `PersistentKeepalive = ${keepalive}`);
  using site = new Site(text("192.0.2.1:1", 1), role);
  const endpointOf = (change: LiveChange | undefined) =>
    change?.kind === "put" ? change.peer.endpoint?.host ?? null : undefined;
  await site.edit(text("192.0.2.1:1", 2));
  assertEquals(endpointOf(site.peers.asked.at(-1)), null);
  await site.edit(text("192.0.2.1:1", 3));
  assertEquals(endpointOf(site.peers.asked.at(-1)), null);
  await site.edit(text("192.0.2.7:1", 3));
  assertEquals(endpointOf(site.peers.asked.at(-1)), "192.0.2.7");
});

hostTest("a reload makes peers that were changed meanwhile what the file says", async () => {
  const { role } = serverRole();
  const text = section() + peer(0, "AllowedIPs = 10.66.77.2/32");
  using site = new Site(text, role);
  const [only] = site.peers.peers.values();
  await site.peers.change([
    { kind: "put", peer: { ...only!, allowedIps: [] } },
    { kind: "put", peer: { ...only!, publicKey: new Uint8Array(32).fill(9) } },
  ]);
  const { changes } = await site.edit(text);
  assertEquals(changes, ["1 peer changed", "1 peer removed"]);
  assertEquals([...site.peers.peers.values()].map(({ allowedIps }) => allowedIps.map(formatCidr)), [
    ["10.66.77.2/32"],
  ]);
});

hostTest("a file with a mistake changes nothing, and is named with the line", async () => {
  const { role, asked } = serverRole();
  const text = section("ClientToClient = on") + peer(0);
  using site = new Site(text, role);
  const running = site.reloader.config;
  for (
    const [broken, problem] of [
      [section("ClientToClient = off", "ListenPort = x") + peer(1), ":5: ListenPort: cannot use"],
      ["", "there is no [Interface] section"],
      [text.replace(/Address.*\n/, ""), "Address is missing"],
      [section("ClientToClient = off", "Nonsense = 1"), ":5: "],
    ] as const
  ) {
    const { changes, problems, exitCode } = await site.edit(broken);
    assertEquals(changes, []);
    assertStringIncludes(problems[0]!, `${site.path}`);
    assertStringIncludes(problems[0]!, problem);
    assertEquals(exitCode, ExitCode.usage);
  }
  Deno.removeSync(site.path);
  const { problems } = await site.reloader.reload();
  assertStringIncludes(problems[0]!, "Cannot read configuration");
  Deno.writeTextFileSync(site.path, text);
  assertEquals([site.peers.asked, asked], [[], []]);
  assert(site.reloader.config === running);
  assertEquals(site.told.filter((each) => each === "reloaded").length, 5);
});

hostTest(
  "peers that cannot be, and networks that cannot be followed, leave all as it was",
  async () => {
    const text = section() + peer(0);
    const edited = section("EgressAllow = lan", "ClientToClient = off") + peer(1);
    const refused = serverRole({ refusal: new ConfigError("too many") });
    using site = new Site(text, refused.role);
    assertEquals((await site.edit(edited)).problems, ["too many"]);
    assertEquals([site.peers.asked, refused.asked], [[], []]);

    const { role, asked } = serverRole();
    using other = new Site(text, role);
    other.peers.refusal = new RequestError("Cannot add the peer: another is called one");
    const result = await other.edit(edited);
    assertEquals(result.problems, ["Cannot add the peer: another is called one"]);
    assertEquals([result.changes, result.exitCode, asked], [[], ExitCode.usage, []]);
    other.peers.refusal = null;
    assertEquals((await other.edit(edited)).changes.length, 4);
  },
);

hostTest(
  "a server's reload sets what can change, and names what cannot, each time, with its line",
  async () => {
    const { role, asked } = serverRole();
    using site = new Site(section("DnsProxy = 1.1.1.1", "PostUp = true"), role);
    const text = section(
      "ListenPort = 999",
      "EgressAllow = lan",
      "ClientToClient = off",
      "DnsProxy = 9.9.9.9",
      "PublicEndpoint = vpn.example.org:1",
      "KillSwitch = on",
    );
    const result = await site.edit(text);
    assertEquals(result.changes.toSorted(), [
      "ClientToClient",
      "DnsProxy",
      "EgressAllow",
      "PublicEndpoint",
    ]);
    assertEquals(asked, [["lan"], false, [parseIpv4("9.9.9.9")]]);
    assertEquals(result.restart, ["ListenPort (line 4)", "PostUp (taken out)"]);
    assertEquals(result.exitCode, ExitCode.usage);
    assertMatch(
      restartLine(result)!,
      /conf: ListenPort \(line 4\), PostUp \(taken out\): .*start it again$/,
    );
    const again = await site.edit(text);
    assertEquals([again.changes, again.restart], [[], result.restart]);
  },
);

hostTest(
  "a DNS proxy that was not there at the start needs a restart, and one that is to go",
  async () => {
    const { role } = serverRole({ hasProxy: false });
    using site = new Site(section(), role);
    assertEquals((await site.edit(section("DnsProxy = 9.9.9.9"))).restart, ["DnsProxy (line 4)"]);
    using other = new Site(section("DnsProxy = 9.9.9.9"), serverRole().role);
    assertEquals((await other.edit(section())).restart, ["DnsProxy (taken out)"]);
  },
);

/** A client, and what was asked of its parts. */
function clientRole({ answers = true, dnsFails = false } = {}) {
  const asked: string[] = [];
  const role = new ClientReload({
    connection: {
      address: parseIpv4("192.0.2.1")!,
      server: "192.0.2.7:51820",
      reconfigure: () => {},
      moveTo: ({ server }) => {
        asked.push(`to ${server.endpoint.host} with ${encodeKey(server.publicKey)}`);
        return Promise.resolve(answers);
      },
    },
    wayTo: () => ({
      device: "eth0",
      network: { address: parseIpv4("192.0.2.0")!, prefixLength: 24 },
    }),
    changeRoutes: ({ added, removed, inside }) =>
      asked.push(
        ...inside.map((address) => `inside ${formatIpv4(address)}`),
        ...added.networks.map((network) => `+${formatCidr(network)}`),
        ...removed.networks.map((network) => `-${formatCidr(network)}`),
      ),
    setDns: ({ interface: { dns } }) => {
      if (dnsFails) throw new AppError("Cannot set DNS", { exitCode: ExitCode.privilege });
      asked.push(`dns ${dns.length}`);
    },
    mtuCapacity: 1400,
    setMtuLimit: (limit) => asked.push(`mtu ${limit}`),
  });
  return { role, asked };
}

const networks = (list: string, ...more: readonly string[]) =>
  peer(0, "Endpoint = 192.0.2.1:51820", `AllowedIPs = ${list}`, ...more);

hostTest(
  "a client's reload changes routes, resolvers and MTU, without a new handshake",
  async () => {
    const { role, asked } = clientRole();
    using site = new Site(section("MTU = 1400") + networks("10.1.0.0/16, 10.2.0.0/16"), role);
    const result = await site.edit(
      section("MTU = 1300", "DNS = 9.9.9.9", "OnPeerTimeout = exit", "DnsProxy = 1.1.1.1") +
        networks("10.2.0.0/16, 10.3.0.0/16", "PersistentKeepalive = 25"),
    );
    assertEquals(asked, ["+10.3.0.0/16", "-10.1.0.0/16", "mtu 1300", "dns 1"]);
    assertEquals(result.changes, ["1 peer changed", "DNS", "MTU", "OnPeerTimeout"]);
    assertEquals([result.restart, result.exitCode], [[], ExitCode.ok]);
    assertEquals(site.reloader.config.interface.onPeerTimeout, "exit");
    assertEquals(site.reloader.config.server.persistentKeepalive, 25);
  },
);

hostTest(
  "a full tunnel leads to the addresses and resolvers of the edited file, whatever the LAN is",
  async () => {
    const { role, asked } = clientRole();
    using site = new Site(section() + networks("10.66.77.1/32, 0.0.0.0/0"), role);
    await site.edit(section("DNS = 9.9.9.9") + networks("10.66.77.3/32, 0.0.0.0/0"));
    assertEquals(asked, ["inside 10.66.77.3", "inside 9.9.9.9", "dns 1"]);
  },
);

hostTest(
  "a client that would have to route another way keeps its networks, and says so",
  async () => {
    const { role, asked } = clientRole();
    using site = new Site(section() + networks("10.1.0.0/16"), role);
    const text = section() + networks("0.0.0.0/0", "PersistentKeepalive = 25");
    const result = await site.edit(text);
    assertEquals(result.restart, ["AllowedIPs"]);
    assertEquals(result.changes, ["1 peer changed"]);
    assertEquals(site.reloader.config.server.allowedIps.map(formatCidr), ["10.1.0.0/16"]);
    assertEquals(site.reloader.config.server.persistentKeepalive, 25);
    assertEquals(asked, []);
    assertEquals((await site.edit(text)).restart, ["AllowedIPs"]);
  },
);

hostTest("a client goes to another server, or the same one elsewhere, at once", async () => {
  const { role, asked } = clientRole();
  using site = new Site(section() + networks("10.1.0.0/16"), role);
  const elsewhere = (index: number) =>
    section() + peer(index, "Endpoint = 192.0.2.7:51820", "AllowedIPs = 10.1.0.0/16");
  await site.edit(elsewhere(0));
  const { changes } = await site.edit(elsewhere(1));
  assertEquals(asked, [`to 192.0.2.7 with ${PEERS[0]}`, `to 192.0.2.7 with ${PEERS[1]}`]);
  assertEquals(changes, ["1 peer added", "1 peer removed"]);
  assertEquals([...site.peers.peers.keys()], [PEERS[1]]);
});

hostTest(
  "a client's other peers come and go while its server stays, and the file's order decides which that is",
  async () => {
    const { role, asked } = clientRole();
    const server = networks("10.1.0.0/16");
    using site = new Site(section() + server, role);
    const other = peer(1, "Endpoint = 192.0.2.8:1", "AllowedIPs = 10.2.0.0/16");
    await site.edit(section() + server + other);
    assertEquals(asked.splice(0), ["+10.2.0.0/16"]);
    assertEquals(site.peers.peers.get(PEERS[1]!)?.endpoint?.host, "192.0.2.8");
    await site.edit(section() + other + server);
    assertEquals(asked.splice(0), [`to 192.0.2.8 with ${PEERS[1]}`]);
    await site.edit(section() + server);
    assertEquals(asked, ["-10.2.0.0/16", `to 192.0.2.1 with ${PEERS[0]}`]);
  },
);

hostTest("a new server that does not answer yet is said so, with exit code 3", async () => {
  const { role } = clientRole({ answers: false });
  using site = new Site(section() + networks("10.1.0.0/16"), role);
  const result = await site.edit(
    section() + peer(1, "Endpoint = 192.0.2.7:51820", "AllowedIPs = 10.1.0.0/16"),
  );
  assertEquals(result.exitCode, ExitCode.connect);
  assertMatch(result.problems[0]!, /no valid answer from 192\.0\.2\.7:51820 yet/);
});

hostTest("a network that the server is reached through changes nothing", async () => {
  const { role, asked } = clientRole();
  using site = new Site(section() + networks("10.1.0.0/16"), role);
  const { problems } = await site.edit(section("DNS = 9.9.9.9") + networks("192.0.2.0/25"));
  assertMatch(problems[0]!, /AllowedIPs: cannot use "192\.0\.2\.0\/25"/);
  assertEquals([asked, site.peers.asked], [[], []]);
});

hostTest(
  "what fails on the host is named, the rest is in effect, and it is tried again the next time",
  async () => {
    const { role, asked } = clientRole({ dnsFails: true });
    using site = new Site(section() + networks("10.1.0.0/16"), role);
    const text = section("DNS = 9.9.9.9", "ConnectTimeout = 9") + networks("10.2.0.0/16");
    const result = await site.edit(text);
    assertEquals(result.problems, ["Cannot set DNS"]);
    assertEquals(result.exitCode, ExitCode.privilege);
    assertEquals(result.changes, ["1 peer changed", "ConnectTimeout"]);
    assertEquals(asked, ["+10.2.0.0/16", "-10.1.0.0/16"]);
    assertEquals((await site.edit(text)).problems, ["Cannot set DNS"]);
  },
);

hostTest("an MTU above that of the start needs a restart, the default included", async () => {
  using site = new Site(section("MTU = 1400") + networks("10.1.0.0/16"), clientRole().role);
  const restart = async (...lines: readonly string[]) =>
    (await site.edit(section(...lines) + networks("10.1.0.0/16"))).restart;
  assertEquals(await restart("MTU = 1401"), ["MTU (line 4)"]);
  assertEquals(await restart(), ["MTU (taken out)"]);
  assertEquals(await restart("MTU = 1399"), []);
});

Deno.test("a request by signal that comes before the tunnel is up is kept until then, once", () => {
  const requests = new ReloadRequests();
  let count = 0;
  const reloader = { reload: () => Promise.resolve(count++) };
  requests.notice();
  requests.notice();
  assertEquals(count, 0);
  requests.serveBy(reloader);
  assertEquals(count, 1);
  requests.notice();
  assertEquals(count, 2);
});
