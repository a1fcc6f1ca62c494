/** Shows which files of sockets may be taken, and which are removed. */
import { isFreeForSocket, removeDeadSocket } from "../../../../lib/host/journal/socket_file.ts";
import { cString, openLibc } from "../../../../ffi/libc.ts";
import { assertEquals } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const OTHER = 0x7fff_fff0;

function inFolder(run: (path: string) => void): void {
  const folder = temporaryFolder();
  run(`${folder}/a.sock`);
}

function isThere(path: string): boolean {
  return [...Deno.readDirSync(path.replace(/\/[^/]*$/, ""))].length > 0;
}

/** Binds without listening, as far as connecting goes the same as a process that was killed. */
function leaveSocket(path: string): void {
  const { symbols } = openLibc();
  const address = new Uint8Array([1, 0, ...cString(path)]);
  const fd = symbols.socket(1, 1, 0);
  assertEquals(symbols.bind(fd, address, address.length), 0);
  symbols.close(fd);
}

hostTest("a socket that nobody listens on may be taken, and goes", () => {
  inFolder((path) => {
    assertEquals(isFreeForSocket(path), true);
    leaveSocket(path);
    assertEquals(isFreeForSocket(path), true);
    removeDeadSocket(path, OTHER);
    assertEquals(isThere(path), false);
    removeDeadSocket(path, OTHER);
  });
});

hostTest("a socket that is listened on goes only with the process that does", () => {
  inFolder((path) => {
    using _listener = Deno.listen({ transport: "unix", path });
    assertEquals(isFreeForSocket(path), false);
    removeDeadSocket(path, OTHER);
    assertEquals(isThere(path), true);
    removeDeadSocket(path, Deno.pid);
    assertEquals(isThere(path), false);
  });
});

hostTest("what is no socket is neither taken nor removed", () => {
  inFolder((path) => {
    Deno.writeTextFileSync(path, "mine");
    assertEquals(isFreeForSocket(path), false);
    removeDeadSocket(path, Deno.pid);
    assertEquals(isThere(path), true);
  });
});
