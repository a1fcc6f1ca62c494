/** Tests of `ffi/sockets/datagram_socket.ts` on the loopback interface. */
import { createSocket } from "node:dgram";
import { DatagramSocket } from "../../../../ffi/sockets/datagram_socket.ts";
import { ECONNREFUSED, SystemCallError } from "../../../../ffi/errno.ts";
import { openLibc } from "../../../../ffi/libc.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const LOOPBACK = 0x7f000001;

/** Waits for a datagram. */
async function receive(socket: DatagramSocket): Promise<Uint8Array> {
  const buffer = new Uint8Array(2000);
  for (;;) {
    const length = socket.receive(buffer);
    if (length >= 0) return buffer.slice(0, length);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

hostTest("DatagramSocket sends to one place and receives from that alone", async () => {
  const there = createSocket("udp4");
  const elsewhere = createSocket("udp4");
  await new Promise<void>((resolve) => there.bind(0, "127.0.0.1", resolve));
  try {
    using socket = DatagramSocket.connect(
      openLibc(),
      { address: LOOPBACK, port: there.address().port },
      0,
    );
    assertEquals(socket.receive(new Uint8Array(10)), -1);
    const heard = new Promise<number>((resolve) =>
      there.once("message", (message, { port }) => {
        elsewhere.send("from elsewhere", port, "127.0.0.1", () => there.send(message, port));
        resolve(port);
      })
    );
    socket.send(new TextEncoder().encode("a question"));
    await heard;
    assertEquals(new TextDecoder().decode(await receive(socket)), "a question");
    assertEquals(socket.receive(new Uint8Array(10)), -1);
  } finally {
    there.close();
    elsewhere.close();
  }
});

hostTest("DatagramSocket tells when nobody listens there", async () => {
  const closed = createSocket("udp4");
  await new Promise<void>((resolve) => closed.bind(0, "127.0.0.1", resolve));
  const { port } = closed.address();
  await new Promise<void>((resolve) => closed.close(() => resolve()));
  using socket = DatagramSocket.connect(openLibc(), { address: LOOPBACK, port }, 0);
  socket.send(Uint8Array.of(1));
  const error = assertThrows(() => socket.receive(new Uint8Array(10)), SystemCallError);
  assertEquals(error.errno, ECONNREFUSED);
});
