/**
 * Tests of lib/core/wireguard/path/path_claim.ts and its filter: which messages of ICMP are claims of routers about a
 * path that may count.
 */
import {
  pathClaimFilter,
  pathClaimFilter6,
} from "../../../../../lib/dataplane/filters/path_claim_filter.ts";
import { Transport } from "../../../../../lib/core/transport/transport.ts";
import { PathClaim } from "../../../../../lib/core/wireguard/path/path_claim.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { runBpf } from "../../../../support/packets/bpf.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  referenceChecksum,
} from "../../../../support/packets/packet_builder.ts";
import { buildUdp6 } from "../../../../support/packets/packet_builder6.ts";
import { Random } from "../../../../support/random.ts";
import { ipv4 } from "../../../../support/packets/simulated_device.ts";

const PORT = 51_820;
const PEER = "198.51.100.2";
const PEER_PORT = 40_000;
const INDEX = 0xdead_beef;
/** Bytes up to the end of the index: two IP headers, ICMP's, UDP's, type and index. */
const LEAST_LENGTH = 20 + 8 + 20 + 8 + 8;

/** A transport message. */
function message(remoteIndex = INDEX, type = 4): Bytes {
  const bytes = new Uint8Array(1_452);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, remoteIndex, true);
  return bytes;
}

/** A probe of ours, as a router quotes it. */
function probe(payload: Bytes, fields: Partial<Parameters<typeof buildUdp>[0]> = {}): Bytes {
  return buildUdp({
    source: "192.0.2.1",
    destination: PEER,
    sourcePort: PORT,
    destinationPort: PEER_PORT,
    dontFragment: true,
    payload,
    ...fields,
  });
}

/** A router's error about a packet, of which it quotes the first bytes. */
function error(packet: Bytes, { mtu = 1_280, type = 3, code = 4, quoted = 548 } = {}): Bytes {
  return buildIcmp({
    source: "203.0.113.1",
    destination: "192.0.2.1",
    type,
    code,
    identifier: 0,
    sequenceNumber: mtu,
    payload: packet.slice(0, quoted),
  });
}

/** What is read of a packet; null where that is no claim. */
function read(packet: Bytes, length = packet.length): Partial<PathClaim> | null {
  const whole = new Uint8Array(2_048);
  whole.set(packet);
  const claim = new PathClaim();
  const isClaim = claim.read(new DataView(whole.buffer), length, PORT);
  const { mtu, address, port, remoteIndex } = claim;
  return isClaim ? { mtu, address, port, remoteIndex } : null;
}

function isFiltered(packet: Bytes): boolean {
  return runBpf(pathClaimFilter(PORT), packet) === 0;
}

const CLAIM = { mtu: 1_280, address: ipv4(PEER), port: PEER_PORT, remoteIndex: INDEX };

/** A packet with some bytes replaced, and the ICMP checksum right again. */
function changed(packet: Bytes, at: number, ...bytes: number[]): Bytes {
  const copy = packet.slice();
  copy.set(bytes, at);
  copy.set([0, 0], 22);
  const checksum = referenceChecksum(copy.subarray(20));
  copy.set([checksum >> 8, checksum & 0xff], 22);
  return copy;
}

Deno.test("a claim about a probe of ours is read, however much more than the index is quoted", () => {
  const packet = probe(message());
  for (const quoted of [36, 37, 64, 128, 548, packet.length]) {
    const claim = error(packet, { quoted });
    assertEquals(read(claim), CLAIM, `${quoted}`);
    assert(!isFiltered(claim));
  }
});

Deno.test("a claim that does not quote the session's index is none: RFC 792's 8 bytes cannot be checked", () => {
  const packet = probe(message());
  for (let quoted = 0; quoted < LEAST_LENGTH - 28; quoted++) {
    const claim = error(packet, { quoted });
    assertEquals(read(claim), null, `${quoted}`);
    if (quoted < 32) assert(isFiltered(claim), `${quoted}`);
  }
});

Deno.test("a packet that was cut off is no claim", () => {
  const packet = error(probe(message()));
  for (let length = 0; length < packet.length; length++) {
    // Its checksum is right where what is missing is zeros; the index is there then.
    if (read(packet, length) !== null) assert(length >= LEAST_LENGTH, `${length}`);
  }
});

Deno.test("what is not about a transport message with DF from our port is no claim", () => {
  const good = probe(message());
  for (
    const [what, packet] of Object.entries({
      "another type": error(good, { type: 11 }),
      "another code": error(good, { code: 3 }),
      "another port": error(probe(message(), { sourcePort: PORT + 1 })),
      "a handshake": error(probe(message(INDEX, 1))),
      "a response": error(probe(message(INDEX, 2))),
      "reserved bytes that are not zero": error(probe(message(INDEX, 0x104))),
      "TCP": error(buildTcp({ source: "192.0.2.1", destination: PEER, sourcePort: PORT })),
      "no ICMP error": good,
    })
  ) {
    assertEquals(read(packet), null, what);
    assert(isFiltered(packet), what);
  }
});

Deno.test("what a router would not say, or not so, is no claim", () => {
  const good = probe(message());
  const claim = error(good);
  for (
    const [what, packet] of Object.entries({
      "no DF in the datagram": error(probe(message(), { dontFragment: false })),
      "a later fragment": changed(claim, 28 + 6, 0x40, 1),
      "another IP version inside": changed(claim, 28, 0x65),
      "a header inside that is too short": changed(claim, 28, 0x44),
      "an older router's 0": error(good, { mtu: 0 }),
      "less than any path takes": error(good, { mtu: 67 }),
      "as much as the datagram has": error(good, { mtu: good.length }),
      "more than the datagram has": error(good, { mtu: good.length + 1 }),
      "a wrong checksum": claim.map((byte, at) => at === 22 ? byte ^ 1 : byte),
      "an MTU changed on the way": claim.map((byte, at) => at === 27 ? byte ^ 1 : byte),
    })
  ) assertEquals(read(packet), null, what);
  assertEquals(read(changed(claim, 28 + 8, 3)), CLAIM, "a TTL that has gone down");
  assertEquals(read(error(good, { mtu: 68 }))?.mtu, 68);
  assertEquals(read(error(good, { mtu: good.length - 1 }))?.mtu, good.length - 1);
});

Deno.test("headers with options are read for what they are", () => {
  const claim = error(probe(message()));
  const options = new Uint8Array(8).fill(1);
  const withOptions = new Uint8Array([...claim.subarray(0, 20), ...options, ...claim.subarray(20)]);
  withOptions[0] = 0x47;
  assertEquals(read(withOptions), CLAIM);
  assert(!isFiltered(withOptions));
});

Deno.test("a claim is about the endpoint that the datagram went to, and about no other", () => {
  const claim = Object.assign(new PathClaim(), CLAIM);
  const endpoint = { address: ipv4(PEER), port: PEER_PORT, transport: Transport.udp };
  assert(claim.isAbout(endpoint));
  assert(!claim.isAbout({ ...endpoint, port: 1 }));
  assert(!claim.isAbout({ ...endpoint, address: ipv4("198.51.100.3") }));
  assert(!claim.isAbout({ ...endpoint, transport: Transport.fakeTcp }));
});

Deno.test("random bytes are no claim, and never throw", () => {
  const random = new Random(5);
  const packet = error(probe(message()), { quoted: 64 });
  const claim = new PathClaim();
  for (let round = 0; round < 20_000; round++) {
    const bytes = random.mutate(packet);
    claim.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), bytes.length, PORT);
  }
});

/** A router's "packet too big" about a probe of ours, less its IP header, as a raw socket has it. */
function error6(
  { mtu = 1_400, type = 2, code = 0, quoted = 1_232, payload = message(), ...fields }: {
    readonly mtu?: number;
    readonly type?: number;
    readonly code?: number;
    readonly quoted?: number;
    readonly payload?: Bytes;
  } & Parameters<typeof buildUdp6>[0] = {},
): Bytes {
  const probe = buildUdp6({
    ...{ source: "2001:db8::1", destination: "2001:db8::2" },
    ...{ sourcePort: PORT, destinationPort: PEER_PORT, payload, ...fields },
  });
  const bytes = new Uint8Array(8 + quoted);
  bytes.set([type, code]);
  new DataView(bytes.buffer).setUint32(4, mtu);
  bytes.set(probe.subarray(0, quoted), 8);
  return bytes;
}

Deno.test("of IPv6, packet too big about a probe is a claim, counted as if the path had IPv4's header", () => {
  const claim = new PathClaim();
  const takes = (bytes: Bytes, length = bytes.length) => {
    const whole = new Uint8Array(2_048);
    whole.set(bytes.subarray(0, length));
    const isTaken = claim.readIpv6(new DataView(whole.buffer), length, PORT);
    // What is read passes the filter; what does not pass it is not read.
    const isFiltered = runBpf(pathClaimFilter6(PORT), bytes.slice(0, length)) === 0;
    assert(!isTaken || !isFiltered);
    return isTaken;
  };
  assert(takes(error6()));
  assertEquals([claim.mtu, claim.port, claim.remoteIndex], [1_380, PEER_PORT, INDEX]);
  const end = { address: "2001:db8::2", port: PEER_PORT, transport: Transport.udp };
  assert(claim.isAbout(end));
  assert(!claim.isAbout({ ...end, address: "2001:db8::3" }));
  assert(!claim.isAbout({ ...end, address: 0 }));
  assert(!claim.isAbout({ ...end, port: 1 }));
  assert(!claim.isAbout({ ...end, transport: Transport.fakeTcp }));
  assert(takes(error6({ mtu: 1_280 })));
  // Less than every link of IPv6 takes; as long as the probe; longer.
  for (const mtu of [0, 1_279, 1_500, 0xffff_ffff]) assert(!takes(error6({ mtu })), `${mtu}`);
  for (const type of [1, 3, 128]) assert(!takes(error6({ type })), `type ${type}`);
  assert(!takes(error6({ sourcePort: 1 })));
  assert(!takes(error6({ payload: message(INDEX, 1) })), "a handshake");
  assert(!takes(error6({ version: 4 })));
  assert(!takes(error6({ extensions: [[44, [0, 0, 0, 0, 0, 0, 0, 1]]] })), "a fragment");
  // Up to the end of the index; a byte less is none.
  assert(takes(error6(), 8 + 40 + 8 + 8));
  for (let length = 0; length < 64; length++) assert(!takes(error6(), length), `${length} bytes`);
});
