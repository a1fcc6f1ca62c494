/**
 * Tests of reading a file that a path from outside leads to: longer than is allowed, in parts, as a pipe comes, or no
 * file at all.
 */
import {
  readAtMost,
  readFileOrPipe,
  readRegular,
  readStart,
} from "../../../../lib/host/files/bounded_read.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

/** A file whose bytes come three at a time. */
function fileOf(size: number): Pick<Deno.FsFile, "readSync"> {
  let at = 0;
  return {
    readSync: (buffer) => {
      const count = Math.min(3, buffer.length, size - at);
      for (let i = 0; i < count; i++) buffer[i] = at + i;
      at += count;
      return count === 0 ? null : count;
    },
  };
}

Deno.test("readAtMost() puts the parts together, and ends with the file or with the limit", () => {
  for (const [size, limit] of [[0, 8], [7, 8], [8, 8], [9, 8], [20, 8], [5, 0]] as const) {
    assertEquals(
      readAtMost(fileOf(size), limit),
      Uint8Array.from({ length: Math.min(size, limit) }, (_, i) => i),
    );
  }
});

class Files implements Disposable {
  readonly #folder: string = temporaryFolder();

  path(name: string): string {
    return `${this.#folder}/${name}`;
  }

  write(name: string, size: number): string {
    Deno.writeFileSync(this.path(name), new Uint8Array(size).fill(0x61), { mode: 0o640 });
    return this.path(name);
  }

  pipe(name: string): string {
    assertEquals(new Deno.Command("mkfifo", { args: [this.path(name)] }).outputSync().code, 0);
    return this.path(name);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

hostTest("a regular file is read up to the limit, and one byte more is too long", () => {
  using files = new Files();
  for (const size of [0, 1, 64 * 1024, 64 * 1024 + 1, 256 * 1024]) {
    const path = files.write("file", size);
    for (const read of [readRegular, readFileOrPipe]) {
      const { bytes, mode, modified } = read(path, 256 * 1024);
      assertEquals(bytes.length, size);
      assertEquals(bytes.every((byte) => byte === 0x61), true);
      assertEquals(mode & 0o777, Deno.statSync(path).mode! & 0o777);
      assertEquals(Math.floor(modified), Deno.statSync(path).mtime!.getTime());
    }
  }
  const path = files.write("file", 1025);
  for (const read of [readRegular, readFileOrPipe]) {
    assertThrows(() => read(path, 1024), Error, "it is longer than 1 KiB");
  }
  assertEquals(readStart(path, 1024).length, 1024);
  assertEquals(readStart(path, 4096).length, 1025);
});

hostTest("what is no file is refused at once: nothing is waited for, nor read without end", () => {
  using files = new Files();
  const socket = files.path("socket");
  using _listener = Deno.listen({ transport: "unix", path: socket });
  Deno.symlinkSync("/dev/zero", files.path("link"));
  for (
    const [path, why] of [
      [files.pipe("pipe"), "a pipe cannot be read twice"],
      [socket, "it is not a regular file"],
      [files.path("link"), "it is not a regular file"],
      ["/dev/zero", "it is not a regular file"],
      ["/dev/tty", "it is not a regular file"],
      [files.path(""), "it is a directory"],
    ] as const
  ) {
    assertThrows(() => readRegular(path, 1024), Error, why);
    if (path === files.path("pipe")) continue;
    assertThrows(() => readFileOrPipe(path, 1024), Error, why);
    assertThrows(() => readStart(path, 1024), Error, why);
  }
  assertThrows(() => readRegular(files.path("none"), 1024), Deno.errors.NotFound);
});

hostTest("a pipe that nobody writes into, or does not end, is waited for with an end", () => {
  using files = new Files();
  const path = files.pipe("pipe");
  const read = () => readFileOrPipe(path, 1024, 20);
  assertThrows(read, Error, "nobody has written into this pipe within 0.02 s");
  // Open for both, which waits for nobody.
  using writer = Deno.openSync(path, { read: true, write: true });
  assertThrows(read, Error, "nobody has written into this pipe");
  writer.writeSync(new Uint8Array(3));
  assertThrows(read, Error, "this pipe has not ended within 0.02 s");
  writer.writeSync(new Uint8Array(1025));
  assertThrows(read, Error, "it is longer than 1 KiB");
});

hostTest("a pipe is read to its end, who writes into it may come later", async () => {
  using files = new Files();
  const path = files.pipe("pipe");
  // It waits until somebody reads.
  const writer = new Deno.Command("sh", { args: ["-c", 'printf ab >"$0"', path] }).spawn();
  const { bytes, mode } = readFileOrPipe(path, 1024);
  assertEquals([new TextDecoder().decode(bytes), mode], ["ab", 0]);
  assertEquals((await writer.status).code, 0);
});

hostTest("a pipe of a shell's that has ended with nothing in it is empty", async () => {
  const holder = new Deno.Command("sleep", { args: ["1000"], stdin: "piped" }).spawn();
  await holder.stdin.close();
  assertEquals(readFileOrPipe(`/proc/${holder.pid}/fd/0`, 1024).bytes.length, 0);
  holder.kill();
  await holder.status;
});
