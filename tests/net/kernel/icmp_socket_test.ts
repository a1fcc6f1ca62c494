/** Shows the ICMP socket, and the demo's ping on it, against the kernel's own answers. */
import { SystemCallError } from "../../../ffi/errno.ts";
import { IcmpSocket } from "../../../ffi/sockets/icmp_socket.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { echoRequest, isReply, ping } from "../../../lib/host/network/ping.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";

const LOOPBACK = parseIpv4("127.0.0.1")!;

netTest("IcmpSocket receives the answer with its IP header when it has sent a request", (net) => {
  const payload = Uint8Array.of(1, 2, 3, 4, 5);
  const request = echoRequest({ identifier: 0xabcd, sequenceNumber: 7, payload });
  using socket = net.namespace("a").inside(() => IcmpSocket.connect(openLibc(), LOOPBACK));
  socket.send(request);
  // On the loopback the request itself comes in as well, and first.
  const buffer = new Uint8Array(100);
  const packets = [0, 1].map(() => buffer.slice(0, socket.receive(buffer, 1000)));
  assertEquals(packets.map((packet) => packet.length), [33, 33]);
  assertEquals(packets.map((packet) => packet[20]), [8, 0]);
  assertEquals(packets.map((packet) => isReply(packet, request)), [false, true]);
});

netTest("IcmpSocket.receive() returns 0 after its time when nothing comes", (net) => {
  using socket = net.namespace("a").inside(() => IcmpSocket.connect(openLibc(), LOOPBACK));
  const startedAt = performance.now();
  assertEquals(socket.receive(new Uint8Array(100), 50), 0);
  const time = performance.now() - startedAt;
  assert(time >= 49, `${time} ms`);
});

netTest("IcmpSocket.connect() throws when there is no way to the address", (net) => {
  const namespace = net.namespace("a");
  const connect = () => IcmpSocket.connect(openLibc(), parseIpv4("192.0.2.1")!);
  const error = assertThrows(() => namespace.inside(connect), SystemCallError);
  assertEquals(error.code, "ENETUNREACH");
});

netTest("ping() returns a time for each answer, and none when nobody answers", (net) => {
  const here = net.namespace("here");
  net.cable(
    { namespace: here, name: "there", address: "192.0.2.1/24" },
    { namespace: net.namespace("there"), name: "here", address: "192.0.2.2/24" },
  );
  const pingFromHere = (address: string, count: number, timeout: number) =>
    here.inside(() => ping(openLibc(), { address: parseIpv4(address)!, count, timeout }));
  const times = pingFromHere("192.0.2.2", 3, 20_000);
  assertEquals(times.length, 3);
  assert(times.every((time) => time > 0), times.join(", "));
  assertEquals(pingFromHere("192.0.2.3", 2, 50), []);
});
