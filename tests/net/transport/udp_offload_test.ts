/**
 * Tests of super-packets of UDP, which the TUN takes where the kernel has USO (Linux 6.2): datagrams arrive as they
 * were sent, at the host itself and where it sends them on to.
 */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { Tun } from "../../../ffi/tun.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { enableTunOffload, TunOffload } from "../../../lib/dataplane/tun_offload.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity } from "../support/config.ts";
import { startVpn } from "../support/programs/vpn.ts";
import { withoutChecksumOffload } from "../support/traffic/checksum_offload.ts";
import { record, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { ARENA_SIZE, openSocket } from "../support/traffic/sockets.ts";
import {
  CABLE,
  CLIENT_INSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
  SUBNET,
} from "../support/wire.ts";

const TUN = "vpn0";
const INNER_MTU = 1420;
const BEHIND = "10.99.0.2";
const PORT = 5005;
/** Datagrams of a burst, which the sender makes in one call: few enough for any queue. */
const BURST = 32;
const BURSTS = 20;
const COUNT = BURST * BURSTS;

/** Payload bytes of datagram `number`: runs of one size, runs that end in a shorter one, and others. */
function sizeOf(number: number): number {
  const position = number % BURST;
  const sizes = [64, 1000, 1, 500 - position, position === 20 ? 90 : 120];
  return Math.max(4, sizes[Math.floor(number / BURST) % sizes.length]!);
}

/** Sends all datagrams, each burst once the one before it has come; gives what came, in its order. */
async function exchange(
  sender: TestNamespace,
  receiver: TestNamespace,
  address: string,
): Promise<{ number: number; length: number }[]> {
  const arena = new Arena(ARENA_SIZE);
  using from = openSocket(sender, arena);
  using to = openSocket(receiver, arena, PORT);
  const slots = Array.from({ length: BURST }, () => arena.allocate(2048));
  const arrived: { number: number; length: number }[] = [];
  const take = () => {
    for (let count = to.receive(); count > 0; count = to.receive()) {
      for (let i = 0; i < count; i++) {
        const length = to.receivedLengths[i]!;
        arrived.push({ number: arena.view.getUint32(to.receivedOffsets[i]!), length });
      }
    }
    return arrived.length;
  };
  for (let first = 0; first < COUNT; first += BURST) {
    const lengths = Int32Array.from({ length: BURST }, (_, index) => sizeOf(first + index));
    slots.forEach((slot, index) => arena.view.setUint32(slot, first + index));
    const targets = slots.map(() => ({ address: parseIpv4(address)!, port: PORT }));
    const batch = { offsets: Int32Array.from(slots), lengths, ...pathsTo(targets) };
    assertEquals(from.send(batch, 0, BURST), BURST);
    await eventually(() => take() >= first + BURST, { what: `${first + BURST} datagrams` });
  }
  return arrived;
}

/** Whether this kernel takes super-packets of UDP. */
function takesUdp(namespace: TestNamespace): boolean {
  return namespace.inside(() => {
    using tun = Tun.open(openLibc(), new Arena(65_536), "trial0");
    return enableTunOffload(tun, true, true) === TunOffload.tcpAndUdp;
  });
}

const serverIdentity = newIdentity();
const clientIdentity = newIdentity();

async function startBoth(topology: Topology) {
  const wire = await layWire(topology);
  const behind = topology.namespace("behind");
  topology.cable(
    { namespace: wire.client, name: "lan0", address: "10.99.0.1/24" },
    { namespace: behind, name: CABLE, address: `${BEHIND}/24` },
  );
  wire.client.inside(() => Deno.writeTextFileSync("/proc/sys/net/ipv4/ip_forward", "1"));
  await behind.output(["ip", "route", "add", SUBNET, "via", "10.99.0.1"]);
  const server = configText(
    {
      PrivateKey: serverIdentity.privateKey,
      ListenPort: SERVER_PORT,
      Address: `${SERVER_INSIDE}/24`,
    },
    { PublicKey: clientIdentity.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32, 10.99.0.0/24` },
  );
  const client = configText(
    { PrivateKey: clientIdentity.privateKey, Address: `${CLIENT_INSIDE}/24` },
    { PublicKey: serverIdentity.publicKey, Endpoint: SERVER_ENDPOINT, AllowedIPs: SUBNET },
  );
  const ends = {
    server: await startVpn("server", wire.server, server),
    client: await startVpn("client", wire.client, client),
  };
  await wire.server.run(["ip", "route", "replace", "10.99.0.0/24", "dev", TUN]);
  return { ...wire, behind, ends };
}

netTest(
  "datagrams in bursts arrive each by itself, in order, at the host and behind it, and are merged on the TUN",
  async (topology) => {
    const { client, server, behind, ends } = await startBoth(topology);
    // The kernel of the client takes merged datagrams apart, and completes their checksums, on its way to the cable.
    withoutChecksumOffload(client, "lan0");
    const expected = Array.from({ length: COUNT }, (_, number) => ({
      number,
      length: sizeOf(number),
    }));
    await using merged = await record(client, TUN, `udp port ${PORT}`);
    await using onCable = await record(behind, CABLE, `udp port ${PORT}`);
    assertEquals(await exchange(server, client, CLIENT_INSIDE), expected);
    assertEquals(await exchange(server, behind, BEHIND), expected);
    await Promise.all([merged.stop(), onCable.stop()]);
    const onTun = await merged.count("udp");
    if (takesUdp(topology.namespace("trial"))) assert(onTun < COUNT, `${onTun} packets`);
    else assertEquals(onTun, 2 * COUNT);
    const text = await onCable.describe("udp");
    assertEquals(text.match(/bad (?:udp )?cksum/), null);
    assertEquals(text.match(/udp sum ok/g)?.length, COUNT);
    assertEquals(await onCable.count(`ip[2:2] > ${INNER_MTU}`), 0);
    for (const { stderr } of [ends.server, ends.client]) {
      assert(!stderr.includes("dropped packet"), stderr);
    }
  },
  { programs: ["ip", ...RECORDING_PROGRAMS] },
);
