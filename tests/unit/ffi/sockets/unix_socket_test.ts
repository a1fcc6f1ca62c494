/** Tests of ffi/sockets/unix_socket.ts: who listens behind a file, and who is at the other end. */
import { createConnection, createServer, type Socket } from "node:net";
import { SystemCallError } from "../../../../ffi/errno.ts";
import { openLibc } from "../../../../ffi/libc.ts";
import { listenerOf, peerGroups, peerUser } from "../../../../ffi/sockets/unix_socket.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { emptyFile, temporaryFolder } from "../../../support/folder.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";

const libc = whereAllowed(openLibc);

hostTest("listenerOf() tells a socket that is listened on from anything else", () => {
  const folder = temporaryFolder();
  const path = `${folder}/a.sock`;
  assertEquals(listenerOf(libc, path), null);
  {
    using _listener = Deno.listen({ transport: "unix", path });
    assertEquals(listenerOf(libc, path), Deno.pid);
  }
  assertEquals(listenerOf(libc, path), null);
  Deno.writeTextFileSync(`${folder}/b`, "");
  assertEquals(listenerOf(libc, `${folder}/b`), null);
});

hostTest("listenerOf() throws for a path that is too long for a socket", () => {
  assertEquals(listenerOf(libc, `/tmp/${"x".repeat(102)}`), null);
  assertThrows(() => listenerOf(libc, `/tmp/${"x".repeat(103)}`), RangeError, "107 bytes");
});

hostTest("peerUser() and peerGroups() are the user and the groups of the other end", async () => {
  const path = emptyFile();
  Deno.removeSync(path);
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer(accepted.resolve).listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  const client = createConnection({ path });
  const socket = await accepted.promise;
  const { _handle: handle } = socket as unknown as { _handle: { fd: number } };
  assertEquals(peerUser(libc, handle.fd), Deno.uid());
  const others = /^Groups:[ \t]*(.*)$/m.exec(Deno.readTextFileSync("/proc/self/status"))![1]!;
  const groups = others.trim() === "" ? [] : others.trim().split(/\s+/).map(Number);
  assertEquals(peerGroups(libc, handle.fd), [Deno.gid()!, ...groups]);
  client.destroy();
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

hostTest("peerUser() throws for what is no socket", () => {
  assertThrows(() => peerUser(libc, 0x7fff), SystemCallError, "EBADF");
});
