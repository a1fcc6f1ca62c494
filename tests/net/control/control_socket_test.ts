/** That a control socket lets nobody in but root and its own user, also where the file's rights would. */
import { cString, openLibc } from "../../../ffi/libc.ts";
import { LocalSocket } from "../../../lib/control/local_socket.ts";
import { Journal } from "../../../lib/host/journal/journal.ts";
import { assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";

const NOBODY = 65_534;
const SYS_SETRESUID = Deno.build.arch === "x86_64" ? 117n : 147n;

/** Connects as another user and returns what is said there: this thread alone is that user meanwhile. */
async function hearAs(user: number, path: string): Promise<string> {
  const libc = openLibc();
  const { socket, connect, close, recv } = libc.symbols;
  const threads = Deno.dlopen("libc.so.6", {
    syscall: { parameters: ["i64", "i64", "i64", "i64"], result: "i64" },
  });
  const become = (id: number) =>
    assertEquals(threads.symbols.syscall(SYS_SETRESUID, -1n, BigInt(id), -1n), 0n);
  const address = new Uint8Array([1, 0, ...cString(path)]);
  const fd = socket(1, 1, 0);
  become(user);
  const result = connect(fd, address, address.length);
  become(0);
  try {
    assertEquals(result, 0, "the file's rights let it pass");
    const buffer = new Uint8Array(100);
    return await eventually(() => {
      const length = recv(fd, buffer, 100n, 0x40);
      return length < 0 ? null : new TextDecoder().decode(buffer.subarray(0, length));
    });
  } finally {
    close(fd);
    threads.close();
  }
}

netTest("a control socket closes on users other than root and its own", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "vpn-test-" });
  Deno.chmodSync(folder, 0o755);
  const journal = new Journal("t");
  try {
    const path = `${folder}/a.sock`;
    await using listener = await LocalSocket.listen([path], {
      journal,
      onConnection: (connection) => void connection.send("welcome"),
    });
    assertEquals(listener?.path, path);
    Deno.chmodSync(path, 0o666);
    assertEquals(await hearAs(NOBODY, path), "");
    assertEquals(await hearAs(0, path), "welcome");
  } finally {
    journal.undo();
    Deno.removeSync(folder, { recursive: true });
  }
});
