/** Tests of `ffi/folder.ts`: what is done by a descriptor does not follow a name that leads elsewhere by then. */
import { ELOOP, ENOENT, ENXIO, SystemCallError } from "../../../ffi/errno.ts";
import { Folder } from "../../../ffi/folder.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { hostTest } from "../../support/permissions.ts";

function folderTest(name: string, test: (base: string) => void): void {
  hostTest(name, () => test(temporaryFolder()));
}

const bytes = (text: string) => new TextEncoder().encode(text);

folderTest("Folder.find() leads to the folder and the name, through links of our own", (base) => {
  Deno.mkdirSync(`${base}/a/b`, { recursive: true });
  Deno.symlinkSync("a/b", `${base}/relative`);
  Deno.symlinkSync(`${base}/a`, `${base}/absolute`);
  Deno.symlinkSync("../b/../../absolute/b/file", `${base}/a/b/link`);
  Deno.writeTextFileSync(`${base}/a/b/file`, "x");
  for (const path of ["relative/file", "absolute/b/file", "a//b/./file", "a/../a/b/link"]) {
    const { folder, name } = Folder.find(`${base}/${path}`);
    using _folder = folder;
    assertEquals(name, "file");
    using file = folder.open(name);
    assertEquals(file.read(10), bytes("x"));
  }
  const unfollowed = Folder.find(`${base}/a/b/link`, { followLast: false });
  using _folder = unfollowed.folder;
  assertEquals(unfollowed.name, "link");
});

folderTest("what writes into a pipe waits for room in it, and for no reader", (base) => {
  assertEquals(new Deno.Command("mkfifo", { args: [`${base}/pipe`] }).outputSync().code, 0);
  const { folder, name } = Folder.find(`${base}/pipe`);
  using _folder = folder;
  assertEquals(assertThrows(() => folder.openToWrite(name), SystemCallError).errno, ENXIO);
  using _reader = Deno.openSync(`${base}/pipe`, { read: true, write: true });
  using file = folder.openToWrite(name);
  file.write(bytes("x"));
  const O_NONBLOCK = 0o4000;
  const flags = Array.from(Deno.readDirSync("/proc/self/fd"), ({ name }) => name)
    .filter((fd) => linkOf(fd) === `${base}/pipe`)
    .map((fd) => /^flags:\s+(\d+)$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`))![1]!);
  assertEquals(flags.map((each) => parseInt(each, 8) & O_NONBLOCK), [0, 0]);
});

function linkOf(fd: string): string {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // That of the list itself.
    return "";
  }
}

folderTest("Folder.find() says what is missing, or makes it", (base) => {
  const error = assertThrows(() => Folder.find(`${base}/a/b/c`), SystemCallError);
  assertEquals(error.errno, ENOENT);
  const { folder } = Folder.find(`${base}/a/b/c`, { create: true });
  using _folder = folder;
  assertEquals(Deno.statSync(`${base}/a/b`).mode! & 0o777, 0o700);
});

folderTest("a link in a circle ends", (base) => {
  Deno.symlinkSync("two", `${base}/one`);
  Deno.symlinkSync("one", `${base}/two`);
  const error = assertThrows(() => Folder.find(`${base}/one`), SystemCallError);
  assertEquals(error.errno, ELOOP);
});

folderTest("a file is not opened through a link, and mode and owner go to it alone", (base) => {
  Deno.writeTextFileSync(`${base}/victim`, "precious", { mode: 0o644 });
  const { folder } = Folder.find(`${base}/x`);
  using _folder = folder;
  using file = folder.create("x", 0o600);
  // Another file has the name now.
  Deno.renameSync(`${base}/x`, `${base}/away`);
  Deno.symlinkSync("victim", `${base}/x`);
  file.write(bytes("text"));
  file.setMode(0o640);
  file.setOwner(Deno.uid()!, Deno.gid()!);
  file.truncate();
  assertEquals(Deno.readTextFileSync(`${base}/victim`), "precious");
  assertEquals(Deno.statSync(`${base}/victim`).mode! & 0o777, 0o644);
  assertEquals(Deno.statSync(`${base}/away`).mode! & 0o777, 0o640);
  for (const open of [() => folder.open("x"), () => folder.openToWrite("x")]) {
    assertEquals(assertThrows(open, SystemCallError).errno, ELOOP);
  }
  assertThrows(() => folder.create("x", 0o600), SystemCallError);
  assertThrows(() => folder.folder("x"), SystemCallError);
  // The link goes, not what it leads to.
  assert(folder.remove("x"));
  assertEquals(folder.remove("x"), false);
  assertEquals(Deno.readTextFileSync(`${base}/victim`), "precious");
});

folderTest("a lock is one process's, and ends with the descriptor", (base) => {
  const { folder } = Folder.find(`${base}/x`);
  using _folder = folder;
  using _made = folder.create("x", 0o600);
  {
    using first = folder.open("x");
    using second = folder.open("x");
    assertEquals([first.tryLock(), second.tryLock()], [true, false]);
  }
  using third = folder.open("x");
  assert(third.tryLock());
});
