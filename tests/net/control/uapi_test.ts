/** That WireGuard's own tool, `wg`, shows and changes our running server and client. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import {
  type BackgroundProcess,
  netTest,
  randomDigits,
  type TestNamespace,
} from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { newIdentity, newPresharedKey, temporaryFile } from "../support/config.ts";
import { statusOf } from "../support/programs/instance.ts";
import { endWell, killHard, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import {
  CABLE,
  CLIENT_INSIDE,
  CLIENT_OUTSIDE,
  layWire,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
} from "../support/wire.ts";

const PROGRAMS = ["ip", "ping", "wg", "sh"];

/** The sockets of all namespaces lie in one folder: two tunnels need two names. */
function interfaceNames(): { server: string; client: string } {
  const digits = randomDigits();
  return { server: `s${digits}`, client: `c${digits}` };
}

/** Runs `wg ARGS`; `input` is its standard input. */
async function wg(namespace: TestNamespace, args: readonly string[], input = ""): Promise<string> {
  return await namespace.output(["wg", ...args], { stdin: input });
}

/** What `wg` says when it fails. */
async function refusal(namespace: TestNamespace, args: readonly string[]): Promise<string> {
  const { code, stderr } = await namespace.run(["wg", ...args]);
  assertEquals(code, 1);
  return stderr.trim();
}

function fieldsOf(dump: string): string[][] {
  return dump.trim().split("\n").map((line) => line.split("\t"));
}

async function isReached(from: TestNamespace, address: string): Promise<boolean> {
  return (await ping(from, address, { wait: 1 })).received > 0;
}

/** That it is, on a busy machine as well. */
async function assertReached(from: TestNamespace, address: string, what?: string): Promise<void> {
  assert((await ping(from, address)).received > 0, what);
}

netTest("wg show tells of both ends what wireguard-go would", async (topology) => {
  const wire = await layWire(topology);
  const names = interfaceNames();
  const tunnel = simpleTunnel();
  await startVpn("server", wire.server, tunnel.server(), "--interface", names.server);
  await startVpn(
    "client",
    wire.client,
    tunnel.client({}, { PersistentKeepalive: 25 }),
    "--interface",
    names.client,
  );
  assertEquals(await ping(wire.client, SERVER_INSIDE), { sent: 3, received: 3 });

  const text = await wg(wire.server, ["show", names.server]);
  assertMatch(text, new RegExp(`interface: ${names.server}\n.*listening port: 51820`, "s"));
  assertMatch(text, /latest handshake: (?:Now|.*second)/);
  assertMatch(text, /transfer: .* received, .* sent/);
  assertMatch(await wg(wire.server, ["show", "interfaces"]), new RegExp(`\\b${names.client}\\b`));

  const [server, client] = [
    fieldsOf(await wg(wire.server, ["show", names.server, "dump"])),
    fieldsOf(await wg(wire.client, ["show", names.client, "dump"])),
  ];
  // Interface: private key, public key, port, mark. Peer: public key, preshared key, endpoint, networks, handshake, rx,
  // tx, keepalive.
  const [serverKey, serverPort, serverMark] = server[0]!.slice(1);
  assertEquals([serverPort, serverMark], ["51820", "off"]);
  assertEquals(client[1]![0], serverKey);
  assertEquals(server[1]![0], client[0]![1]);
  assertEquals(server[1]!.slice(1, 4), [
    "(none)",
    `${CLIENT_OUTSIDE}:${client[0]![2]}`,
    `${CLIENT_INSIDE}/32`,
  ]);
  assertEquals(client[1]!.slice(2, 4), [`${SERVER_OUTSIDE}:51820`, "10.66.77.0/24"]);
  assert(Math.abs(Number(client[1]![4]) - Date.now() / 1000) < 30, client[1]![4]);
  assert(Number(client[1]![5]) > 0 && Number(client[1]![6]) > 0);
  assertEquals([server[1]![7], client[1]![7]], ["off", "25"]);
}, { programs: PROGRAMS });

netTest(
  "wg set lets a peer in, changes it and removes it, while the tunnel runs",
  async (topology) => {
    const wire = await layWire(topology);
    const { server: name } = interfaceNames();
    const tunnel = simpleTunnel();
    await startVpn("server", wire.server, tunnel.server(), "--interface", name);
    await startVpn("client", wire.client, tunnel.client());
    const [, [key = ""] = []] = fieldsOf(await wg(wire.server, ["show", name, "dump"]));
    const set = (...args: string[]) => wg(wire.server, ["set", name, "peer", ...args]);
    await assertReached(wire.client, SERVER_INSIDE);

    await set(key, "allowed-ips", "10.66.77.9/32");
    assert(!await isReached(wire.client, SERVER_INSIDE));
    await set(key, "allowed-ips", `10.66.77.9/32,${CLIENT_INSIDE}/32`, "persistent-keepalive", "7");
    await assertReached(wire.client, SERVER_INSIDE);

    const other = newIdentity().publicKey;
    await set(other, "allowed-ips", "10.66.77.9/32", "endpoint", "192.0.2.7:7");
    const peers = fieldsOf(await wg(wire.server, ["show", name, "dump"])).slice(1);
    assertEquals(peers.map(([, , , networks]) => networks), [
      `${CLIENT_INSIDE}/32`,
      "10.66.77.9/32",
    ]);
    assertEquals([peers[0]![7], peers[1]![2]], ["7", "192.0.2.7:7"]);

    await set(key, "remove");
    assert(!await isReached(wire.client, SERVER_INSIDE));
    assertEquals((await wg(wire.server, ["show", name, "peers"])).trim(), other);
  },
  { programs: PROGRAMS },
);

netTest("a preshared key set on both ends counts from the next handshake on", async (topology) => {
  const wire = await layWire(topology);
  const names = interfaceNames();
  const tunnel = simpleTunnel();
  await startVpn("server", wire.server, tunnel.server(), "--interface", names.server);
  const config = tunnel.client({ PeerTimeout: 2, ConnectTimeout: 1 });
  const client = await startVpn("client", wire.client, config, "--interface", names.client);
  using file = temporaryFile(newPresharedKey());
  const setKey = async (side: "server" | "client") => {
    const [, [peer = ""] = []] = fieldsOf(await wg(wire[side], ["show", names[side], "dump"]));
    await wg(wire[side], ["set", names[side], "peer", peer, "preshared-key", file.path]);
    return peer;
  };
  const peer = await setKey("server");
  await assertReached(wire.client, SERVER_INSIDE, "the session goes on");
  // A session of its own ends with the peer, and is asked for again.
  await wg(wire.server, ["set", names.server, "peer", peer, "remove"]);
  await wg(wire.server, [
    ...["set", names.server, "peer", peer, "allowed-ips", `${CLIENT_INSIDE}/32`],
    ...["preshared-key", file.path],
  ]);
  assert(!await isReached(wire.client, SERVER_INSIDE));
  await client.waitFor(/no packets from \S+: reconnecting/);
  await setKey("client");
  // A handshake that the server began before is known for the server's own, whatever the preshared key: the client may
  // take the server for back before the next one leads to a session.
  await eventually(async () => await isReached(wire.client, SERVER_INSIDE) || null);
}, { programs: PROGRAMS });

netTest("a thousand peers are set, shown and removed in one request each", async (topology) => {
  const wire = await layWire(topology);
  const names = interfaceNames();
  const tunnel = simpleTunnel();
  const server = await startVpn(
    ...["server", wire.server, tunnel.server(), "--interface", names.server] as const,
  );
  const original = await wg(wire.server, ["showconf", names.server]);
  const before = fieldsOf(await wg(wire.server, ["show", names.server, "dump"]));
  const sections = Array.from({ length: 1_000 }, (_, i) => [
    ...["[Peer]", `PublicKey = ${newIdentity().publicKey}`],
    `AllowedIPs = 10.9.${i >> 8}.${i & 255}/32, 10.10.0.0/16`,
  ]);
  const text = sections.flat().join("\n");
  await wg(wire.server, ["addconf", names.server, "/dev/stdin"], text);
  const after = fieldsOf(await wg(wire.server, ["show", names.server, "dump"]));
  assertEquals(after.length, before.length + 1_000);
  // The last one has what all were given.
  assertEquals(after.filter(([, , , networks]) => networks!.includes("10.10.0.0/16")).length, 1);
  assertEquals(after.at(-1)![3], "10.9.3.231/32,10.10.0.0/16");
  assertEquals((await statusOf(server)).peers.length, 1_001);
  const routes = async () =>
    (await wire.server.output(["ip", "route", "show", "dev", names.server])).trim().split("\n");
  assertEquals((await routes()).length, 1_002);
  await wg(wire.server, ["syncconf", names.server, "/dev/stdin"], original);
  assertEquals(await wg(wire.server, ["showconf", names.server]), original);
  assertEquals((await routes()).length, 1);
  await endWell(server);
}, { programs: PROGRAMS });

netTest(
  "wg syncconf with what wg showconf wrote changes nothing, also on a full tunnel's client",
  async (topology) => {
    const wire = await layWire(topology);
    const names = interfaceNames();
    const tunnel = simpleTunnel();
    await startVpn("server", wire.server, tunnel.server(), "--interface", names.server);
    const config = tunnel.client({}, { AllowedIPs: "0.0.0.0/0" });
    await startVpn("client", wire.client, config, "--interface", names.client);
    for (const side of ["server", "client"] as const) {
      const before = await wg(wire[side], ["show", names[side], "allowed-ips"]);
      const shown = await wg(wire[side], ["showconf", names[side]]);
      await wg(wire[side], ["syncconf", names[side], "/dev/stdin"], shown);
      // A file such as `wg-quick strip` makes has no mark, and on a client no port.
      const stripped = shown.replace(/^(FwMark|ListenPort) .*\n/gm, "");
      await wg(wire[side], ["setconf", names[side], "/dev/stdin"], stripped);
      assertEquals(await wg(wire[side], ["show", names[side], "allowed-ips"]), before);
    }
    await assertReached(wire.client, SERVER_INSIDE);
  },
  { programs: PROGRAMS },
);

netTest(
  "wg is refused what a running tunnel cannot change, and the log says why",
  async (topology) => {
    const wire = await layWire(topology);
    const names = interfaceNames();
    const tunnel = simpleTunnel();
    const server = await startVpn(
      "server",
      wire.server,
      tunnel.server(),
      "--interface",
      names.server,
    );
    await startVpn("client", wire.client, tunnel.client(), "--interface", names.client);
    const before = await wg(wire.server, ["show", names.server, "dump"]);
    const ownKey = fieldsOf(before)[0]![1]!;
    const other = newIdentity();
    using key = temporaryFile(other.privateKey);
    const set = (...args: string[]) => refusal(wire.server, ["set", names.server, ...args]);
    const unsupported = "Unable to modify interface: Operation not supported";
    assertEquals(await set("listen-port", "7"), unsupported);
    assertEquals(await set("fwmark", "7"), unsupported);
    assertEquals(await set("private-key", key.path), unsupported);
    assertEquals(
      await set("peer", other.publicKey, "endpoint", `[fe80::1%${CABLE}]:7`),
      unsupported,
    );
    await server.waitFor(/an endpoint with a zone is not supported/);
    await server.waitFor(/the port cannot be changed while the tunnel is running/);
    // The kernel passes over the device's own key, without a word.
    await wg(wire.server, ["set", names.server, "peer", ownKey, "allowed-ips", "10.7.0.0/16"]);
    assertEquals(await wg(wire.server, ["show", names.server, "dump"]), before);
    // A client may have peers besides its server.
    await wg(wire.client, ["set", names.client, "peer", other.publicKey]);
    const peers = await wg(wire.client, ["show", names.client, "peers"]);
    assert(peers.split("\n").includes(other.publicKey));
    const place = "[2001:db8::1]:7";
    await wg(wire.client, ["set", names.client, "peer", other.publicKey, "endpoint", place]);
    const endpoints = await wg(wire.client, ["show", names.client, "endpoints"]);
    assert(endpoints.split("\n").includes(`${other.publicKey}\t${place}`), endpoints);
    assertMatch(before, /51820/);
    assertEquals(
      fieldsOf(await wg(wire.server, ["show", names.server, "dump"]))[0],
      fieldsOf(before)[0],
    );
  },
  { programs: PROGRAMS },
);

netTest(
  "WireGuard's socket goes with the process, and after a kill with cleanup",
  async (topology) => {
    const wire = await layWire(topology);
    const { server: name } = interfaceNames();
    const tunnel = simpleTunnel();
    const path = `/var/run/wireguard/${name}.sock`;
    const start = () => startVpn("server", wire.server, tunnel.server(), "--interface", name);
    const first = await start();
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
    await endWell(first);
    assert(!isThere(path));
    await killHard(await start());
    assert(isThere(path));
    const said = await wire.server.output(vpnCommand("cleanup"));
    assertMatch(said, new RegExp(`^undid for ${name} \\(process \\d+\\): ${path}$`, "m"));
    assert(!isThere(path));
    await killHard(await start());
    await endWell(await start());
    assert(!isThere(path));
  },
  { programs: PROGRAMS },
);

netTest(
  "of two tunnels with one name in two namespaces, both run, and wg knows the first",
  async (topology) => {
    const wire = await layWire(topology);
    const { server: name } = interfaceNames();
    const tunnel = simpleTunnel();
    const server = await startVpn("server", wire.server, tunnel.server(), "--interface", name);
    const client = await startVpn("client", wire.client, tunnel.client(), "--interface", name);
    assertMatch(
      client.stderr,
      new RegExp(`another process uses /var/run/wireguard/${name}\\.sock`),
    );
    assertMatch(await wg(wire.client, ["show", name]), /listening port: 51820/);
    await endBoth(client, server);
    assert(!isThere(`/var/run/wireguard/${name}.sock`));
  },
  { programs: PROGRAMS },
);

for (const [what, options] of [["may not be written to", "ro"], ["is full", "nr_inodes=1"]]) {
  netTest(
    `a gateway runs, and says that wg cannot show it, where the folder of its socket ${what}`,
    async (topology) => {
      const { server } = await layWire(topology);
      const { server: name } = interfaceNames();
      using file = temporaryFile(simpleTunnel().server());
      const process = server.spawn([
        ...["unshare", "--mount", "--propagation", "private", "sh", "-ec"],
        `mkdir -p /run/wireguard; mount -t tmpfs -o ${options} tmpfs /run/wireguard; exec "$@"`,
        ...["sh", ...vpnCommand("server", "--config", file.path, "--interface", name)],
      ]);
      await process.waitFor(/listening on UDP port/);
      await process.waitFor(/`wg show` cannot show this tunnel: /);
      assertEquals((await statusOf(process)).interface, name);
      await endWell(process);
    },
    { programs: ["ip", "sh", "unshare", "mount"] },
  );
}

async function endBoth(...processes: readonly BackgroundProcess[]): Promise<void> {
  for (const process of processes) await endWell(process);
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
