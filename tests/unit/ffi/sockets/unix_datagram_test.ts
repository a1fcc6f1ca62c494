/** Tests local datagram sockets against each other: at a path, and in the abstract namespace. */
import { openLibc } from "../../../../ffi/libc.ts";
import { UnixDatagramReceiver, UnixDatagramSender } from "../../../../ffi/sockets/unix_datagram.ts";
import { SystemCallError } from "../../../../ffi/errno.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { uniqueName } from "../../../support/net.ts";

const TIMEOUT = { timeout: 1 };

hostTest("a datagram arrives whole, at a path and at an abstract name", () => {
  const libc = openLibc();
  const folder = temporaryFolder();
  for (const name of [`${folder}/socket`, `@${uniqueName("notify")}`]) {
    using receiver = UnixDatagramReceiver.bind(libc, name);
    assertEquals(receiver.receive(), null);
    using sender = UnixDatagramSender.connect(libc, name, TIMEOUT);
    sender.send(new TextEncoder().encode("READY=1"));
    sender.send(new TextEncoder().encode("STATUS=x"));
    const texts = [receiver.receive(), receiver.receive(), receiver.receive()]
      .map((bytes) => bytes === null ? null : new TextDecoder().decode(bytes));
    assertEquals(texts, ["READY=1", "STATUS=x", null], name);
  }
});

hostTest(
  "a receiver that does not read holds its sender up for the time limit and no longer",
  () => {
    const libc = openLibc();
    const name = `@${uniqueName("full")}`;
    using _receiver = UnixDatagramReceiver.bind(libc, name);
    using sender = UnixDatagramSender.connect(libc, name, TIMEOUT);
    const message = new Uint8Array(1);
    assertThrows(
      () => {
        // The kernel queues ten, and systemd raises that to 512.
        for (let i = 0; i < 100_000; i++) sender.send(message);
      },
      SystemCallError,
      "send to a local socket",
    );
  },
);

hostTest("a name that no local socket can have is refused", () => {
  const libc = openLibc();
  for (const name of ["", "@", "/", "relative", "vsock:2:1", `/${"x".repeat(107)}`]) {
    assertThrows(() => UnixDatagramSender.connect(libc, name, TIMEOUT), RangeError, "local socket");
  }
  assertThrows(
    () => UnixDatagramSender.connect(libc, `@${uniqueName("nobody")}`, TIMEOUT),
    SystemCallError,
  );
});
