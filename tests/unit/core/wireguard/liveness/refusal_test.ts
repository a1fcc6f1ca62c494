/**
 * Tests of lib/core/wireguard/liveness/refusal.ts and its filter: which messages of ICMP say why a datagram did not
 * arrive.
 */
import { refusalFilter } from "../../../../../lib/dataplane/filters/refusal_filter.ts";
import { readRefusal } from "../../../../../lib/core/wireguard/liveness/refusal.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { runBpf } from "../../../../support/packets/bpf.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
} from "../../../../support/packets/packet_builder.ts";
import { ipv4 } from "../../../../support/packets/simulated_device.ts";

const PORT = 40_000;
const SERVER = { address: ipv4("192.0.2.1"), port: 51_820 };
/** Two IP headers, ICMP's, and the 8 bytes that every router quotes (RFC 792). */
const LEAST_LENGTH = 20 + 8 + 20 + 8;

function initiation(fields: Partial<Parameters<typeof buildUdp>[0]> = {}): Bytes {
  return buildUdp({
    source: "198.51.100.2",
    destination: "192.0.2.1",
    sourcePort: PORT,
    destinationPort: SERVER.port,
    payload: new Uint8Array(148),
    ...fields,
  });
}

function error(packet: Bytes, { code = 3, type = 3 } = {}): Bytes {
  return buildIcmp({
    source: "203.0.113.1",
    destination: "198.51.100.2",
    type,
    code,
    identifier: 0,
    sequenceNumber: 0,
    payload: packet,
  });
}

/** What is read of it, where the kernel hands it over at all. */
function read(packet: Bytes, length = packet.length): string | null {
  if (runBpf(refusalFilter(PORT), packet.subarray(0, length)) === 0) return null;
  const view = new DataView(packet.buffer, packet.byteOffset, length);
  const refusal = readRefusal(view, length, { port: PORT, server: SERVER });
  assertEquals(refusal?.from ?? ipv4("203.0.113.1"), ipv4("203.0.113.1"));
  return refusal && `${refusal.kind}: ${refusal.words}`;
}

Deno.test("refused, unreachable and prohibited are told apart by the code", () => {
  const said = (code: number) => read(error(initiation(), { code }));
  assertEquals(said(3), "refused: port unreachable");
  assertEquals(said(0), "unreachable: network unreachable");
  assertEquals(said(1), "unreachable: host unreachable");
  for (const code of [9, 10, 13]) assertEquals(said(code)?.split(":")[0], "prohibited");
});

Deno.test("fragmentation needed and other types of ICMP say nothing of why nobody answers", () => {
  assertEquals(read(error(initiation(), { code: 4 })), null);
  assertEquals(read(error(initiation(), { type: 11, code: 0 })), null);
});

Deno.test("what is about another server, another port of ours, or TCP does not count", () => {
  assertEquals(read(error(initiation({ destination: "192.0.2.9" }))), null);
  assertEquals(read(error(initiation({ destinationPort: 53 }))), null);
  assertEquals(read(error(initiation({ sourcePort: PORT + 1 }))), null);
  assertEquals(read(error(buildTcp({ sourcePort: PORT, destinationPort: SERVER.port }))), null);
});

Deno.test("eight bytes of the datagram are enough, and fewer are not read", () => {
  const packet = error(initiation());
  assertEquals(read(packet, LEAST_LENGTH), "refused: port unreachable");
  for (let length = 0; length < LEAST_LENGTH; length++) assertEquals(read(packet, length), null);
});
