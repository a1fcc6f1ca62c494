/** Tests that sockets of this process, as node:net makes them, are kept from the programs that it starts. */
import { createServer } from "node:net";
import { openLibc } from "../../../../ffi/libc.ts";
import { closeSocketsOnExec } from "../../../../ffi/sockets/close_on_exec.ts";
import { assertEquals } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

hostTest("a program that is started has no local socket of this process", async () => {
  const folder = temporaryFolder();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${folder}/s`, resolve));
  closeSocketsOnExec(openLibc());
  const { stdout } = new Deno.Command("ls", { args: ["-l", "/proc/self/fd"] }).outputSync();
  const sockets = new TextDecoder().decode(stdout).split("\n")
    .filter((line) => / (?:\d{2,}|[3-9]) -> socket:/.test(line));
  assertEquals(sockets, []);
  await new Promise((resolve) => server.close(resolve));
});
