/** That a control socket lets in root, its own user, and a group if one is given, whatever the file's rights are. */
import { cString, openLibc } from "../../../ffi/libc.ts";
import { LocalSocket } from "../../../lib/control/local_socket.ts";
import { Journal } from "../../../lib/host/journal/journal.ts";
import { assertEquals } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";

const NOBODY = 65_534;
const GROUP = 54_321;
const [SYS_SETRESUID, SYS_SETRESGID, SYS_SETGROUPS] = Deno.build.arch === "x86_64"
  ? [117n, 119n, 116n] as const
  : [147n, 149n, 159n] as const;

/** Connects as another user and returns what is said there: this thread alone is that user meanwhile. */
async function hearAs(
  user: number,
  path: string,
  { group = 0, others = [] as number[] } = {},
): Promise<string> {
  const libc = openLibc();
  const { socket, connect, close, recv } = libc.symbols;
  const threads = Deno.dlopen("libc.so.6", {
    syscall: { parameters: ["i64", "i64", "i64", "i64"], result: "i64" },
    getgroups: { parameters: ["i32", "buffer"], result: "i32" },
  });
  const { syscall, getgroups } = threads.symbols;
  const before = new Uint32Array(64);
  const groups = before.slice(0, getgroups(before.length, before));
  const setGroups = (ids: Uint32Array<ArrayBuffer>) => {
    const pointer = Deno.UnsafePointer.value(Deno.UnsafePointer.of(ids));
    assertEquals(syscall(SYS_SETGROUPS, BigInt(ids.length), pointer, 0n), 0n);
  };
  const become = (id: number, its: number) => {
    // Only root may change the group.
    if (id === 0) assertEquals(syscall(SYS_SETRESUID, -1n, 0n, -1n), 0n);
    assertEquals(syscall(SYS_SETRESGID, -1n, BigInt(its), -1n), 0n);
    setGroups(id === 0 ? groups : Uint32Array.from(others));
    if (id !== 0) assertEquals(syscall(SYS_SETRESUID, -1n, BigInt(id), -1n), 0n);
  };
  const address = new Uint8Array([1, 0, ...cString(path)]);
  const fd = socket(1, 1, 0);
  become(user, group);
  const result = connect(fd, address, address.length);
  become(0, 0);
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
  const folder = temporaryFolder();
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
  }
});

netTest(
  "a control socket that is a group's lets its members in, by whichever of their groups",
  async () => {
    const folder = temporaryFolder();
    Deno.chownSync(folder, null, GROUP);
    Deno.chmodSync(folder, 0o750);
    const journal = new Journal("t");
    try {
      const path = `${folder}/a.sock`;
      await using _listener = await LocalSocket.listen([path], {
        journal,
        group: GROUP,
        onConnection: (connection) => void connection.send(`welcome ${connection.user}`),
      });
      const { mode, gid } = Deno.statSync(path);
      assertEquals([mode! & 0o777, gid], [0o660, GROUP]);
      assertEquals(await hearAs(NOBODY, path, { group: GROUP }), `welcome ${NOBODY}`);
      assertEquals(
        await hearAs(NOBODY, path, { group: 7, others: [8, GROUP] }),
        `welcome ${NOBODY}`,
      );
      assertEquals(await hearAs(0, path), "welcome 0");
      Deno.chmodSync(folder, 0o755);
      Deno.chmodSync(path, 0o666);
      assertEquals(await hearAs(NOBODY, path, { group: 7, others: [8] }), "");
    } finally {
      journal.undo();
    }
  },
);
