/**
 * Tests that root writes into another user's folder without being led elsewhere: each attack stands prepared between
 * two steps, as the best of racers would have it.
 */
import { createFile, loadToChange, LockedConfig } from "../../../../lib/host/files/config_store.ts";
import { readClientFile } from "../../../../lib/host/files/client_files.ts";
import type { PeerRequest } from "../../../../lib/cli/command.ts";
import { runPeer } from "../../../../lib/commands/peer/peer.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { EINVAL } from "../../../../ffi/errno.ts";
import { cString, openLibc } from "../../../../ffi/libc.ts";
import { loadConfig } from "../../../../lib/host/files/config_file.ts";
import { RefusalError } from "../../../../lib/core/config/refusal_error.ts";
import { AppError } from "../../../../lib/process/errors.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { addToFile, removeFromFile } from "../../../support/peer/file_place.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";

const USER = 1234;
const SECRET = "root's own\n";
const TEXT = `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\nAddress = 10.66.77.1/24\n` +
  "PublicEndpoint = vpn.example.org:51820\n";

/** A user's folder with a configuration, and a file of root's in root's folder beside it. */
interface Scene {
  readonly folder: string;
  readonly config: string;
  readonly foreign: string;
  readonly victim: string;
}

/** A test by root that ends with root's file as it was. */
function attack(name: string, test: (scene: Scene) => void | Promise<void>): void {
  hostTest({
    name,
    ignore: whereAllowed(() => Deno.uid()) !== 0,
    fn: async () => {
      const base = temporaryFolder();
      const scene = {
        folder: `${base}/user`,
        config: `${base}/user/server.conf`,
        foreign: `${base}/root`,
        victim: `${base}/root/server.conf`,
      };
      for (const folder of [scene.folder, scene.foreign]) Deno.mkdirSync(folder);
      Deno.writeTextFileSync(scene.config, TEXT, { mode: 0o600 });
      Deno.writeTextFileSync(scene.victim, SECRET, { mode: 0o600 });
      for (const path of [scene.folder, scene.config]) Deno.chownSync(path, USER, USER);
      await test(scene);
      assertEquals(Deno.readTextFileSync(scene.victim), SECRET);
      const { uid, gid, mode } = Deno.statSync(scene.victim);
      assertEquals([uid, gid, mode! & 0o777], [0, 0, 0o600]);
      assertEquals(Array.from(Deno.readDirSync(scene.foreign), ({ name }) => name), [
        "server.conf",
      ]);
    },
  });
}

/** Puts a link of the user's in the place of the file or folder. */
function putLink(path: string, target: string): void {
  try {
    Deno.renameSync(path, `${path}.away`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  Deno.symlinkSync(target, path);
  const lchown = Deno.dlopen("libc.so.6", {
    lchown: { parameters: ["buffer", "u32", "u32"], result: "i32" },
  });
  lchown.symbols.lchown(new TextEncoder().encode(`${path}\0`), USER, USER);
  lchown.close();
}

attack("a change keeps the user's file the user's", async ({ folder, config }) => {
  const { path } = await addToFile(config, { name: "laptop" });
  assertEquals([Deno.statSync(config).uid, Deno.statSync(config).mode! & 0o777], [USER, 0o600]);
  assertEquals(path, `${folder}/server.peers/laptop.conf`);
  assertEquals(await removeFromFile(config, "laptop"), true);
  assertEquals(Deno.statSync(config).uid, USER);
  assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["server.conf"]);
});

attack("the configuration is a link to root's: refused", async ({ config, victim }) => {
  putLink(config, victim);
  const error = await assertRejects(() => addToFile(config, { name: "x" }), AppError);
  assert(/symbolic link/.test(error.message), error.message);
});

attack("a command that changes it reads nothing of root's by such a link", async (scene) => {
  const { config, victim } = scene;
  putLink(config, victim);
  const requests = [
    { action: "add", configPath: config, name: "x", privateKey: null },
    { action: "remove", configPath: config, name: "x" },
    { action: "rename", configPath: config, name: "x", newName: "y" },
  ] as unknown as PeerRequest[];
  for (const request of requests) {
    // What is no configuration is said to be none once it was read.
    await assertRejects(() => runPeer(request), AppError, "it is a symbolic link");
  }
});

attack("its folder is a link to root's: refused", async ({ folder, foreign, config }) => {
  putLink(folder, foreign);
  await assertRejects(() => addToFile(config, { name: "x" }), AppError);
});

attack("a folder further up is a link to where root's is: refused", async ({ folder, foreign }) => {
  putLink(`${folder}/deep`, foreign);
  await assertRejects(() => addToFile(`${folder}/deep/server.conf`, { name: "x" }), AppError);
  assertThrows(() => createFile({ path: `${folder}/deep/new/x.conf`, text: "x" }), AppError);
});

attack(
  "the configuration becomes a link to root's after it was read",
  async ({ config, victim }) => {
    using file = await LockedConfig.open(config);
    const { text } = file.read();
    putLink(config, victim);
    const before = Deno.readTextFileSync(victim);
    file.replace(`${text}# changed\n`);
    // The link is what was replaced.
    assertEquals(Deno.lstatSync(config).isSymlink, false);
    assertEquals(Deno.statSync(config).uid, USER);
    assertEquals(Deno.readTextFileSync(victim), before);
  },
);

attack(
  "the folder becomes a link to root's after it was opened",
  async ({ folder, foreign, config }) => {
    using file = await LockedConfig.open(config);
    const { text } = file.read();
    putLink(folder, foreign);
    file.createBeside("server.peers", "x.conf", { path: "x", text: "key" });
    file.replace(`${text}# changed\n`);
    assertEquals(file.removeBeside("server.peers", "x.conf", "server.peers/x.conf"), true);
    assert(Deno.readTextFileSync(`${folder}.away/server.conf`).endsWith("# changed\n"));
  },
);

attack("the clients' folder is a link to root's", async ({ folder, foreign, config, victim }) => {
  putLink(`${folder}/server.peers`, foreign);
  await assertRejects(() => addToFile(config, { name: "x" }), AppError);
  assertEquals(Deno.readTextFileSync(config), TEXT);
  // Nor is anything removed through it.
  using file = await LockedConfig.open(config);
  const args = ["server.peers", "server.conf", "server.peers/server.conf"] as const;
  assertThrows(() => file.removeBeside(...args), AppError);
  assert(Deno.statSync(victim).isFile);
});

attack(
  "where the clients' folder is a link, a client goes all the same",
  async ({ folder, foreign, config }) => {
    await addToFile(config, { name: "stolen" });
    Deno.renameSync(`${folder}/server.peers`, `${folder}/away`);
    putLink(`${folder}/server.peers`, foreign);
    assertEquals(await removeFromFile(config, "stolen"), false);
    assertEquals(Deno.readTextFileSync(config).trimEnd(), TEXT.trimEnd());
  },
);

attack("a client's file is a link to where nothing is yet", async ({ folder, foreign, config }) => {
  Deno.mkdirSync(`${folder}/server.peers`);
  putLink(`${folder}/server.peers/x.conf`, `${foreign}/x.conf`);
  await assertRejects(() => addToFile(config, { name: "x" }), AppError, "it exists already");
  const out = `${folder}/out.conf`;
  putLink(out, `${foreign}/x.conf`);
  await assertRejects(() => addToFile(config, { name: "x", out }), AppError, "it exists already");
});

attack("a client's file that is a link, or a pipe, is not read", ({ folder, config, victim }) => {
  Deno.mkdirSync(`${folder}/server.peers`);
  putLink(`${folder}/server.peers/x.conf`, victim);
  assertEquals(readClientFile(config, "x"), null);
  const args = [`${folder}/server.peers/y.conf`];
  assert(new Deno.Command("mkfifo", { args }).outputSync().success);
  assertEquals(readClientFile(config, "y"), null);
});

attack("a pipe in the place of the configuration keeps nobody waiting", async ({ config }) => {
  Deno.removeSync(config);
  const made = new Deno.Command("mkfifo", { args: [config] }).outputSync();
  assert(made.success);
  await assertRejects(() => addToFile(config, { name: "x" }), AppError, "it is not a regular file");
});

hostTest("a shell's pipe in the place of the configuration is refused as what it is", async () => {
  const holder = new Deno.Command("sleep", { args: ["1000"], stdin: "piped" }).spawn();
  const path = `/proc/${holder.pid}/fd/0`;
  try {
    const why = `Cannot change ${path}: it is not a regular file`;
    assertThrows(() => loadToChange(path), AppError, why);
    await assertRejects(() => LockedConfig.open(path), AppError, why);
  } finally {
    await holder.stdin.close();
    holder.kill();
    await holder.status;
  }
});

attack("the user's lease on the file keeps nobody waiting", async ({ config }) => {
  const { symbols, errno } = openLibc();
  const F_SETLEASE = 1024;
  const F_WRLCK = 1;
  // The kernel asks the holder to end it.
  const asked = () => {};
  Deno.addSignalListener("SIGIO", asked);
  const fd = symbols.open(cString(config), 0);
  try {
    if (symbols.fcntl(fd, F_SETLEASE, F_WRLCK) !== 0) {
      // A file system without leases leaves nothing to attack.
      assertEquals(errno(), EINVAL);
      return;
    }
    const why = "another program holds a lease on it";
    await assertRejects(() => addToFile(config, { name: "x" }), AppError, why);
    assertThrows(() => loadConfig(config), ConfigError, why);
  } finally {
    symbols.close(fd);
    Deno.removeSignalListener("SIGIO", asked);
  }
});

attack(
  "the user's lock on the folder, or on the file, keeps no client in",
  async ({ folder, config }) => {
    await addToFile(config, { name: "stolen" });
    using folderLock = Deno.openSync(folder);
    folderLock.lockSync(true);
    using fileLock = Deno.openSync(config);
    fileLock.lockSync(true);
    await removeFromFile(config, "stolen");
    assertEquals(Deno.readTextFileSync(config).trimEnd(), TEXT.trimEnd());
  },
);

attack(
  "where the file cannot be changed, a client that has to go is cut off until it is read again",
  async ({ folder, config }) => {
    await addToFile(config, { name: "stolen" });
    // So long that the name of the file that is to take its place is too long.
    const long = `${folder}/${"x".repeat(250)}`;
    Deno.renameSync(config, long);
    const remove = () => removeFromFile(long, "stolen");
    await assertRejects(remove, RefusalError, "Cannot write");
    await assertRejects(remove, RefusalError, "access is cut off until the next start or reload");
  },
);
