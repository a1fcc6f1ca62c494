/** Tests of `vpn capture` and `vpn log` against a running gateway; other programs read what was captured. */
import { assert, assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { emptyFile, temporaryFolder } from "../../support/folder.ts";
import { type BackgroundProcess, netTest, type TestNamespace } from "../../support/net.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INSIDE, INTERNET } from "../support/gateway.ts";
import { ping, tcpFlow } from "../support/traffic/traffic.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, "tcpdump"];
const [LAPTOP, PHONE] = ["10.66.77.2", "10.66.77.3"];

/** A gateway whose two clients have names, all connected. */
async function startNamed(network: GatewayNetwork): Promise<BackgroundProcess> {
  const names = ["laptop", "phone"];
  const config = network.config().replace(
    /\[Peer\]\n/g,
    (head) => `${head}Name = ${names.shift()}\n`,
  );
  const gateway = await startVpn("server", network.gateway, config);
  for (const client of network.clients) await network.connect(client);
  return gateway;
}

/** Starts `vpn capture` and waits until it is at it. */
async function startCapture(
  namespace: TestNamespace,
  ...args: readonly string[]
): Promise<BackgroundProcess> {
  const capture = namespace.spawn(vpnCommand("capture", ...args));
  await capture.waitFor(/capturing on vpn0/);
  return capture;
}

/** As Ctrl-C does it. */
async function interrupt(process: BackgroundProcess): Promise<number> {
  process.signal("SIGINT");
  return (await process.status).code;
}

/** What tcpdump reads in a file, a line for each packet. */
async function packetsIn(namespace: TestNamespace, path: string): Promise<string[]> {
  const text = await namespace.output(["tcpdump", "-n", "-v", "-r", path]);
  // The line of the IP header, and the one behind it.
  return text.trimEnd().split(/\n(?=\S)/).filter((line) => line !== "")
    .map((line) => line.replace(/\s+/g, " "));
}

netTest(
  "capture --peer has all packets of that peer, of no other, in both directions, and ends with a whole file",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    const { gateway, clients: [laptop, phone] } = network;
    await startNamed(network);
    const folder = temporaryFolder();
    const path = `${folder}/laptop.pcapng`;
    const capture = await startCapture(gateway, "--peer", "laptop", "-w", path);
    const atLaptop = await startCapture(laptop!.namespace, "-w", `${path}.client`);
    const results = await Promise.all([
      ping(laptop!.namespace, INSIDE, { count: 5 }),
      ping(phone!.namespace, INSIDE, { count: 5 }),
    ]);
    assertEquals(results, [{ sent: 5, received: 5 }, { sent: 5, received: 5 }]);
    assertEquals(await interrupt(capture), 0);
    assertMatch(capture.stderr, /\n10 packets captured\n$/);
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);

    const packets = await packetsIn(gateway, path);
    const count = (pattern: RegExp) => packets.filter((line) => pattern.test(line)).length;
    assertEquals(packets.length, 10, packets.join("\n"));
    assertEquals(count(new RegExp(`${LAPTOP} > ${INSIDE}: ICMP echo request`)), 5);
    assertEquals(count(new RegExp(`${INSIDE} > ${LAPTOP}: ICMP echo reply`)), 5);
    assertEquals(count(new RegExp(PHONE!)), 0);
    assertEquals(await interrupt(atLaptop), 0);
    const same = await packetsIn(gateway, `${path}.client`);
    const withoutTime = (line: string) => line.replace(/^\S+ /, "");
    // A request and an answer on their way at the same time are seen in either order, depending on the end.
    assertEquals(same.map(withoutTime).sort(), packets.map(withoutTime).sort());
    // Times are those of the clock on the wall.
    const [first] = (await gateway.output(["tcpdump", "-n", "-tt", "-r", path])).split(" ");
    assert(Math.abs(Number(first) - Date.now() / 1000) < 60, first);
  },
  { programs: PROGRAMS },
);

netTest(
  "capture without --peer has an interface for each peer, and says which way a packet went",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    const { gateway, clients: [laptop, phone] } = network;
    await startNamed(network);
    const path = emptyFile({ suffix: ".pcapng" });
    const capture = await startCapture(gateway, "-w", path, "--snaplen", "40");
    // From client to client: in from the one, out to the other, and back.
    await ping(laptop!.namespace, phone!.inside, { count: 1 });
    assertEquals(await interrupt(capture), 0);
    const fields = ["frame.interface_name", "frame.packet_flags_direction", "ip.src"];
    const lengths = ["frame.len", "frame.cap_len"];
    const read = await gateway.output([
      ...["tshark", "-n", "-r", path, "-T", "fields"],
      ...[...fields, ...lengths].flatMap((field) => ["-e", field]),
    ]);
    const packets = read.trimEnd().split("\n").map((line) => {
      const [name, direction, ...rest] = line.split("\t");
      return [name, Number(direction), ...rest].join(" ");
    });
    assertEquals(packets, [
      `laptop 1 ${LAPTOP} 84 40`,
      `phone 2 ${LAPTOP} 84 40`,
      `phone 1 ${PHONE} 84 40`,
      `laptop 2 ${PHONE} 84 40`,
    ]);
  },
  { programs: [...PROGRAMS, "tshark"] },
);

netTest(
  "a flow goes on while packets are captured, also when nobody takes them, and when the taker is killed",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { gateway, client } = network;
    const server = await startNamed(network);
    const folder = temporaryFolder();
    const path = `${folder}/all.pcapng`;
    const capture = await startCapture(gateway, "-w", path, "--snaplen", "64");
    const stuck = await startCapture(gateway, "-w", `${folder}/stuck.pcapng`);
    stuck.signal("SIGSTOP");
    const flow = await tcpFlow(client.namespace, gateway, INSIDE, { bytes: 100e6 });
    assert(flow.receivedBytes > 50e6, `${flow.receivedBytes} bytes`);
    stuck.signal("SIGKILL");
    await server.waitFor(
      /captured \d+ packets of all peers, [1-9]\d* more were dropped \(buffer full\)/,
    );
    assertEquals(await interrupt(capture), 0);
    const [, packets = ""] = /(\d+) packets captured/.exec(capture.stderr) ?? [];
    const lines = (await gateway.output(["tcpdump", "-n", "-q", "-r", path])).trimEnd().split(
      "\n",
    );
    assertEquals(lines.length, Number(packets));
    // The bytes of the flow, in packets of the tunnel's MTU.
    const [, lost = "0"] = /, (\d+) dropped/.exec(capture.stderr) ?? [];
    assert(Number(packets) + Number(lost) > flow.receivedBytes / 1420);
    assertEquals(await ping(client.namespace, INSIDE), { sent: 3, received: 3 });
  },
  { programs: [...PROGRAMS, "iperf3"] },
);

netTest(
  "capture writes to a pipe as packets come, and ends when nobody reads",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { gateway, client } = network;
    const server = await startNamed(network);
    const command = vpnCommand("capture").map((word) => `'${word}'`).join(" ");
    const reader = gateway.spawn(["sh", "-c", `${command} | tcpdump -n -l -c 2 -r -`]);
    await reader.waitFor(/capturing on vpn0/);
    await ping(client.namespace, INSIDE, { count: 1 });
    await reader.waitFor(/ICMP echo request[^]*ICMP echo reply/);
    await ping(client.namespace, INSIDE, { count: 1 });
    assertEquals((await reader.status).code, 0);
    await server.waitFor(/captured 4 packets of all peers/);
  },
  { programs: PROGRAMS },
);

netTest("capture refuses what cannot be in one line, and touches no file", async (topology) => {
  const network = await GatewayNetwork.lay(topology, { clients: 2 });
  const { gateway } = network;
  const path = `${temporaryFolder()}/none.pcapng`;
  const refusal = async (...args: string[]) => {
    const { code, stderr } = await gateway.run(vpnCommand("capture", "-w", path, ...args));
    return `${code} ${stderr}`;
  };
  assertMatch(
    await refusal("--interface", "vpn9"),
    /^3 .*no running server or client has that interface/,
  );
  await startNamed(network);
  assertEquals(
    await refusal("--peer", "labtop"),
    '1 vpn: Cannot capture: there is no peer "labtop": did you mean "laptop"?\n',
  );
  const terminal = await gateway.run([
    "script",
    "-qec",
    vpnCommand("capture").join(" "),
    "/dev/null",
  ]);
  assertEquals(terminal.code, 2);
  assertMatch(terminal.stdout, /Cannot write packets to a terminal: give a file with -w FILE/);
  const full = await gateway.run(vpnCommand("capture", "-w", "/dev/full"));
  assertEquals(full.code, 2);
  assertMatch(full.stderr, /Cannot write packets to "\/dev\/full": No space left on device/);
  // Anybody may have put it there.
  const pipe = emptyFile({ dir: "/dev/shm" });
  await Deno.remove(pipe);
  await gateway.run(["mkfifo", pipe]);
  const unread = await gateway.run(vpnCommand("capture", "-w", pipe));
  await Deno.remove(pipe);
  assertEquals(unread.code, 2);
  assertMatch(unread.stderr, /nobody reads from this pipe: start its reader first/);
  const captures: BackgroundProcess[] = [];
  for (let i = 0; i < 4; i++) captures.push(await startCapture(gateway, "-w", "/dev/null"));
  assertMatch(await refusal(), /^1 .*4 captures are running already: end one of them\n$/);
  for (const capture of captures) assertEquals(await interrupt(capture), 0);
  await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
}, { programs: [...PROGRAMS, "mkfifo", "script"] });

netTest("log changes at once what is logged, by category, and shows it", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway, client } = network;
  const server = await startNamed(network);
  const log = (...args: string[]) => gateway.output(vpnCommand("log", ...args));
  const levels = await log();
  assertMatch(levels, /^category +level\nserver +info\ndataplane +info\ncontrol +info\n/);
  assert(!server.stderr.includes("debug"));

  assertEquals(await log("control=debug"), "");
  assertMatch(await log(), /\ncontrol +debug\n/);
  await server.waitFor(/debug vpn\.control: asked for log\n/);

  await log("dataplane=trace");
  await ping(client.namespace, INTERNET, { count: 1 });
  await server.waitFor(/trace vpn\.dataplane: sent 84 bytes, \S+ > \S+ ICMP 8\/0/);

  await log("all=error", "hooks=debug");
  assertMatch(await log(), /\ndataplane +error\n(.*\n)*hooks +debug\n/);
  const before = server.stderr;
  await ping(client.namespace, INTERNET, { count: 1 });
  await startCapture(gateway, "-w", "/dev/null");
  assertEquals(server.stderr, before);

  const { code, stderr } = await gateway.run(vpnCommand("log", "client=debug"));
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot log "client" here: the categories are server, dataplane, /);
}, { programs: PROGRAMS });
