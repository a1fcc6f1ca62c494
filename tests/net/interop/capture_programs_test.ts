/** Tests that tcpdump and tshark read a capture of several peers, each an interface of the file. */
import { Capture } from "../../../lib/core/capture/capture.ts";
import { PacketDirection } from "../../../lib/core/wireguard/packet_tap.ts";
import type { Peer } from "../../../lib/core/wireguard/peer.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { assertEquals } from "../../support/assert.ts";
import { emptyFile } from "../../support/folder.ts";
import { netTest, output } from "../../support/net.ts";
import { buildUdp } from "../../support/packets/packet_builder.ts";
import { buildUdp6 } from "../../support/packets/packet_builder6.ts";

const SOURCES = ["10.66.77.2", "10.66.77.3", "10.66.77.4", "10.66.77.2", "fd00:77::3"];

/** A capture of a gateway with two peers, and a third that comes later. */
function captured(): Uint8Array {
  const memory = createMemory(4096);
  const peers = ["laptop", "phone", "late"].map((name, index) => {
    return { name, publicKey: new Uint8Array(32).fill(index) } as Peer;
  });
  const chunks: Uint8Array[] = [];
  const capture = new Capture({
    memory,
    publicKey: null,
    peers: peers.slice(0, 2),
    snapLength: 262_144,
    application: "vpn",
    nameOf: ({ name }) => ({ name: name!, description: "its key" }),
    clock: () => 1_795_258_800_000_000,
    onChunk: (chunk) => chunks.push(chunk),
  });
  for (const source of SOURCES) {
    const ports = { sourcePort: 40_000, destinationPort: 40_001 };
    const fields = { source, ...ports, payload: new Uint8Array(33) };
    const packet = source.includes(":")
      ? buildUdp6({ ...fields, destination: "fd00:77::1" })
      : buildUdp({ ...fields, destination: "10.66.77.1" });
    memory.bytes.set(packet, 500);
    const peer = peers[Number(source.slice(-1)) - 2]!;
    capture.take(peer, PacketDirection.inbound, 500, packet.length);
  }
  capture.end();
  return Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
}

netTest("tcpdump and tshark read a capture of several peers to its end", async () => {
  const path = emptyFile({ suffix: ".pcapng" });
  await Deno.writeFile(path, captured());
  const lines = await output(null, ["tcpdump", "-n", "-r", path]);
  assertEquals(
    Array.from(lines.matchAll(/IP6? (\S+)\.\d+ > \S+1\.40001: UDP/g), ([, from]) => from),
    SOURCES,
  );
  const fields = ["-e", "frame.interface_name", "-e", "ip.src", "-e", "ipv6.src"];
  const rows = await output(null, ["tshark", "-n", "-r", path, "-T", "fields", ...fields]);
  assertEquals(
    // Of the two addresses, a packet has one.
    rows.trim().split("\n").map((row) => row.replace("\t\t", "\t").replace(/\t$/, "")),
    SOURCES.map((source) =>
      `${["laptop", "phone", "late"][Number(source.slice(-1)) - 2]}\t${source}`
    ),
  );
}, { programs: ["tcpdump", "tshark"] });
