/**
 * Tests dist/vpn, as ./compile.sh built it: that it does what `deno task vpn` does, and, where it is self-extracting,
 * that what it unpacks is put right whatever happened to it.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { taskFlags } from "../net/support/programs/vpn.ts";
import { emptyFile, temporaryFolder } from "../support/folder.ts";
import { netTest } from "../support/net.ts";
import { output, run, type RunOptions, spawn } from "../support/process.ts";
import { hostTest, whereAllowed } from "../support/permissions.ts";

const EXECUTABLE = new URL("../../dist/vpn", import.meta.url).pathname;
/** The length of a self-extracting executable's head, in bytes. */
const HEAD_LENGTH = 16_384;

/** The executable's head, or null where there is none to test or it is not self-extracting. */
function readHead(): { readonly built: boolean; readonly head: string | null } {
  try {
    using file = Deno.openSync(EXECUTABLE);
    const bytes = new Uint8Array(HEAD_LENGTH);
    file.readSync(bytes);
    const text = new TextDecoder().decode(bytes);
    return { built: true, head: text.startsWith("#!") ? text : null };
  } catch {
    return { built: false, head: null };
  }
}

const { built, head } = readHead();

function builtTest(name: string, fn: () => Promise<void>): void {
  const reason = built ? "" : " (ignored: dist/vpn is not built, ./compile.sh does it)";
  hostTest({ name: name + reason, ignore: !built, fn });
}

/** A test of unpacking, given a cache folder that does not exist yet. */
function cacheTest(name: string, fn: (cache: string) => Promise<void>): void {
  const reason = !built
    ? " (ignored: dist/vpn is not built, ./compile.sh does it)"
    : head === null
    ? " (ignored: `deno compile` built dist/vpn, which unpacks nothing)"
    : "";
  hostTest({
    name: name + reason,
    ignore: reason !== "",
    fn: async () => {
      const folder = temporaryFolder();
      await fn(`${folder}/cache`);
    },
  });
}

const VERSION_LINE = /^vpn \d+\.\d+\.\d+( \([0-9a-f]{12}\))?\n$/;

/** Starts the executable with a cache of its own and makes sure that it works. */
async function startIn(cache: string, options: RunOptions = {}): Promise<void> {
  const env = {
    VPN_CACHE: cache,
    XDG_CACHE_HOME: "/dev/null",
    TMPDIR: "/dev/null",
    HOME: cache.slice(0, cache.lastIndexOf("/")),
    ...options.env,
  };
  const { code, stdout, stderr } = await run(null, [EXECUTABLE, "--version"], { ...options, env });
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertMatch(stdout, VERSION_LINE);
}

/** The folder that the executable unpacked into. */
function unpackedIn(cache: string): string {
  const hash = /^hash=([0-9a-f]{64})$/m.exec(head ?? "")?.[1];
  return `${cache}/${hash}`;
}

/** What tells whether a file was put there again. */
function identityOf(path: string): unknown {
  const { ino, size, mtime } = Deno.lstatSync(path);
  return { ino, size, mtime: mtime?.getTime() };
}

builtTest("vpn --version shows the version, and the commit where there is one", async () => {
  const version = await output(null, [EXECUTABLE, "--version"]);
  assertMatch(version, VERSION_LINE);
  const main = new URL("../../main.ts", import.meta.url).pathname;
  const source = await output(null, [Deno.execPath(), "run", "--quiet", "-A", main, "--version"]);
  assertEquals(version.includes("("), source.includes("("));
});

{
  const hasLibrary = / libIPSec_MB\.so:/.test(head ?? "");
  const hasProcessor = /\bavx512ifma\b/.test(whereAllowed(readProcessors) ?? "");
  const reason = !built
    ? " (ignored: dist/vpn is not built, ./compile.sh does it)"
    : !hasLibrary
    ? " (ignored: the machine that built it had no IPsec-MB, or it does not unpack)"
    : !hasProcessor
    ? " (ignored: the processor has no AVX-512 with IFMA)"
    : "";
  hostTest({
    name: `vpn ciphers by the IPsec-MB that it brings along, whose licence is beside it${reason}`,
    ignore: reason !== "",
    async fn() {
      assertMatch(head!, / libIPSec_MB\.LICENSE:\d+ /);
      const { stdout } = await run(null, [EXECUTABLE, "doctor"]);
      assertMatch(stdout, /^ok +cipher +libIPSec_MB\.so:/m);
    },
  });
}

{
  const hasLibrary = / libboringssl\.so:/.test(head ?? "");
  const reason = !built
    ? " (ignored: dist/vpn is not built, ./compile.sh does it)"
    : !hasLibrary
    ? " (ignored: the machine that built it had no BoringSSL, or it does not unpack)"
    : "";
  hostTest({
    name: `vpn ciphers by the BoringSSL that it brings along, whose licence is beside it${reason}`,
    ignore: reason !== "",
    async fn() {
      assertMatch(head!, / libboringssl\.LICENSE:\d+ /);
      const config = `${temporaryFolder()}/vpn.conf`;
      const secret = await output(null, [EXECUTABLE, "genkey"]);
      await Deno.writeTextFile(
        config,
        `[Interface]\nPrivateKey = ${secret}Address = 10.66.77.1/24\nAead = boringssl\n`,
        { mode: 0o600 },
      );
      const { stdout } = await run(null, [EXECUTABLE, "doctor", "--config", config]);
      assertMatch(stdout, /^ok +cipher +libboringssl\.so:/m);
    },
  });
}

function readProcessors(): string {
  return Deno.readTextFileSync("/proc/cpuinfo");
}

builtTest("vpn passes standard input and output on", async () => {
  const secret = await output(null, [EXECUTABLE, "genkey"]);
  assertMatch(secret, /^[A-Za-z0-9+/]{42}[A-Za-z0-9+/=]{2}\n$/);
  const key = await output(null, [EXECUTABLE, "pubkey"], { stdin: secret });
  assertMatch(key, /^[A-Za-z0-9+/]{42}[A-Za-z0-9+/=]{2}\n$/);
  assert(key !== secret);
});

builtTest("vpn passes the exit code and its arguments on, blanks and quotes included", async () => {
  const name = `no such "file" in  here 'at' $HOME *.conf`;
  const { code, stdout, stderr } = await run(null, [EXECUTABLE, "server", "--config", name]);
  assertEquals({ code, stdout }, { code: 2, stdout: "" });
  assertStringIncludes(stderr, JSON.stringify(name));
});

builtTest("vpn runs from another folder, by a relative path, by a link and from PATH", async () => {
  const folder = temporaryFolder();
  await Deno.symlink(EXECUTABLE, `${folder}/vpn link`);
  await Deno.mkdir(`${folder}/bin`);
  await Deno.symlink(EXECUTABLE, `${folder}/bin/vpn`);
  for (
    const script of [
      `cd '${folder}' && './vpn link' --version`,
      `cd / && '${folder}/vpn link' --version`,
      `cd '${folder}' && PATH="bin:$PATH" && vpn --version`,
    ]
  ) assertMatch(await output(null, ["/bin/sh", "-c", script]), VERSION_LINE);
});

builtTest(
  "vpn is the process that was started, shows by its name and dies of a signal",
  async () => {
    // It waits for standard input.
    const child = new Deno.Command(EXECUTABLE, {
      args: ["pubkey"],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const words = () => Deno.readTextFileSync(`/proc/${child.pid}/cmdline`).split("\0");
    // The kernel names the program first, and its arguments a moment later.
    const started = () =>
      /\/deno$|\/vpn$/.test(Deno.readLinkSync(`/proc/${child.pid}/exe`)) && words()[0] !== "";
    for (let tries = 0; tries < 200 && !started(); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assertEquals(words()[0], EXECUTABLE);
    // What the engine may take; `deno compile` keeps that inside.
    const engineFlags = (flags: readonly string[]) => flags.filter((flag) => /^--v8-/.test(flag));
    if (head !== null) assertEquals(engineFlags(words()), engineFlags(taskFlags()));
    assertEquals(Deno.readTextFileSync(`/proc/${child.pid}/comm`), "vpn\n");
    child.kill("SIGTERM");
    assertEquals((await child.status).signal, "SIGTERM");
    await child.stdin.close().catch(() => {});
  },
);

netTest(
  built
    ? "vpn server of the executable starts its data plane and ends by SIGTERM with exit code 0"
    : "vpn server (ignored: dist/vpn is not built)",
  async (topology) => {
    if (!built) return;
    const { name } = topology.namespace("gateway");
    const config = emptyFile();
    const key = (await output(null, [EXECUTABLE, "genkey"])).trim();
    await Deno.writeTextFile(
      config,
      `[Interface]\nPrivateKey = ${key}\nAddress = 10.66.77.1/24\nListenPort = 0\nEgress = off\n`,
    );
    await using server = spawn(null, [EXECUTABLE, "server", "--config", config, "--netns", name]);
    await server.waitFor(/listening on UDP port \d+/);
    assertEquals((await server.stop()).code, 0);
  },
);

cacheTest(
  "vpn names no module of a command by what the runtime would read at each start",
  async (cache) => {
    await startIn(cache);
    const folder = unpackedIn(cache);
    const texts = Array.from(Deno.readDirSync(folder), ({ name }) => name)
      .filter((name) => name.endsWith(".js"))
      .map((name) => Deno.readTextFileSync(`${folder}/${name}`)).join("\n");
    assertMatch(texts, /\bimport\(String\("\.\/server-/);
    assertEquals(texts.match(/\bimport\((["'`])\./g), null);
  },
);

cacheTest("vpn unpacks once", async (cache) => {
  await startIn(cache);
  const runtime = `${unpackedIn(cache)}/vpn`;
  const before = identityOf(runtime);
  await startIn(cache);
  assertEquals(identityOf(runtime), before);
});

cacheTest(
  "vpn unpacks what others cannot change and what is not damaged, umask or not",
  async (cache) => {
    await output(null, ["/bin/sh", "-c", `umask 000; exec "$0" --version`, EXECUTABLE], {
      env: { VPN_CACHE: cache },
    });
    const folder = unpackedIn(cache);
    for (const path of [cache, folder, `${folder}/deno`, `${folder}/main.js`, `${folder}/vpn`]) {
      assertEquals((Deno.lstatSync(path).mode ?? 0) & 0o022, 0, path);
    }
    assertEquals([...Deno.readDirSync(folder)].filter(({ name }) => name.startsWith(".new")), []);
  },
);

const DAMAGES: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  "a file is gone": (folder) => Deno.remove(`${folder}/main.js`),
  "the runtime is cut short": (folder) => Deno.truncate(`${folder}/vpn`, 1_000_000),
  "a file has other content of the same length": async (folder) => {
    const path = `${folder}/data_plane_worker.js`;
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, text.replace(/^./, "!"));
  },
  "a file can be changed by others": (folder) => Deno.chmod(`${folder}/main.js`, 0o666),
  "the folder can be changed by others": (folder) => Deno.chmod(folder, 0o775),
  "a file is a link": async (folder) => {
    await Deno.rename(`${folder}/main.js`, `${folder}/main.txt`);
    await Deno.symlink("main.txt", `${folder}/main.js`);
  },
  "it was not finished": (folder) => Deno.remove(`${folder}/verified`),
};

for (const [damage, inflict] of Object.entries(DAMAGES)) {
  cacheTest(`vpn repairs its cache when ${damage}`, async (cache) => {
    await startIn(cache);
    const folder = unpackedIn(cache);
    const path = `${folder}/main.js`;
    const original = await Deno.readTextFile(path);
    const worker = await Deno.readTextFile(`${folder}/data_plane_worker.js`);
    await inflict(folder);
    await startIn(cache);
    assertEquals(await Deno.readTextFile(path) === original, true);
    assertEquals(await Deno.readTextFile(`${folder}/data_plane_worker.js`) === worker, true);
    const { mode, isFile } = Deno.lstatSync(path);
    assertEquals({ isFile, mode: (mode ?? 0) & 0o777 }, { isFile: true, mode: 0o644 });
    // The repair lasts.
    const before = identityOf(`${folder}/verified`);
    await startIn(cache);
    assertEquals(identityOf(`${folder}/verified`), before);
  });
}

cacheTest("vpn works when several start for the first time at once", async (cache) => {
  await Promise.all([1, 2, 3].map(() => startIn(cache)));
  await startIn(cache);
});

cacheTest("vpn unpacks elsewhere when its cache cannot be used", async (cache) => {
  const own = `${cache}-own`;
  await Deno.writeTextFile(cache, "a file, not a folder");
  await startIn(cache, { env: { XDG_CACHE_HOME: own } });
  assert(Deno.statSync(`${unpackedIn(`${own}/vpn`)}/verified`).isFile);
});

cacheTest("vpn unpacks into a private folder when no cache can be used", async (cache) => {
  await Deno.writeTextFile(cache, "a file, not a folder");
  const temporary = `${cache}-tmp`;
  await Deno.mkdir(temporary);
  await startIn(cache, { env: { XDG_CACHE_HOME: cache, TMPDIR: temporary } });
  const folder = unpackedIn(`${temporary}/vpn-${Deno.uid()}`);
  assert(Deno.statSync(`${folder}/verified`).isFile);
});

cacheTest(
  "vpn does not run from a folder that a link or a folder of others leads to",
  async (cache) => {
    await startIn(cache);
    const folder = unpackedIn(cache);
    const hash = folder.slice(folder.lastIndexOf("/"));
    const trap = `${cache}-trap`;
    await Deno.mkdir(trap);
    await Deno.symlink(folder, trap + hash);
    const { code, stderr } = await run(null, [EXECUTABLE, "--version"], {
      env: { VPN_CACHE: trap, XDG_CACHE_HOME: "/dev/null", TMPDIR: "/dev/null" },
    });
    assertEquals(code, 1);
    assertStringIncludes(stderr, "Cannot start");
    assertStringIncludes(stderr, trap);
  },
);

cacheTest(
  "root's vpn neither runs from nor makes anything in a folder below another user's, nor in that user's home",
  async (cache) => {
    if (Deno.uid() !== 0) return;
    const NOBODY = 65_534;
    const home = `${cache}-home`;
    // Root's own folders: the user cannot change them, but can put others in their place between the look and the
    // start.
    await Deno.mkdir(`${home}/roots/further`, { recursive: true });
    await startIn(`${home}/roots/further/cache`, { env: { HOME: home } });
    await Deno.chown(home, NOBODY, NOBODY);
    const temporary = `${cache}-tmp`;
    await Deno.mkdir(temporary);
    const env = { HOME: home, XDG_CACHE_HOME: `${home}/roots/own`, TMPDIR: temporary };
    await startIn(`${home}/roots/further/cache`, { env });
    assert(Deno.statSync(`${unpackedIn(`${temporary}/vpn-0`)}/verified`).isFile);
    assertEquals(Array.from(Deno.readDirSync(`${home}/roots`), ({ name }) => name), ["further"]);
  },
);

cacheTest("vpn makes and removes nothing where a link in its way leads", async (cache) => {
  await startIn(cache);
  const folder = unpackedIn(cache);
  const hash = folder.slice(folder.lastIndexOf("/") + 1);
  const victim = `${cache}-victim`;
  // In /tmp anybody can put either link there before the first start.
  for (const [at, target] of [["", victim], [`/${hash}`, `${victim}/${hash}`]] as const) {
    await Deno.mkdir(`${victim}/${hash}/deno/precious`, { recursive: true });
    await Deno.mkdir(`${victim}/kept`);
    await Deno.chmod(victim, 0o777);
    const temporary = `${cache}-tmp${at === "" ? 1 : 2}`;
    const own = `${temporary}/vpn-${Deno.uid()}`;
    await Deno.mkdir(at === "" ? temporary : own, { recursive: true });
    await Deno.symlink(target, own + at);
    const { code } = await run(null, [EXECUTABLE, "--version"], {
      env: { VPN_CACHE: "/dev/null", XDG_CACHE_HOME: "/dev/null", TMPDIR: temporary },
    });
    assertEquals(code, 1);
    assert(Deno.statSync(`${victim}/${hash}/deno/precious`).isDirectory);
    assertEquals(Deno.statSync(victim).mode! & 0o777, 0o777);
    assertEquals(Array.from(Deno.readDirSync(`${victim}/${hash}`), ({ name }) => name), ["deno"]);
    await Deno.remove(victim, { recursive: true });
  }
});

cacheTest("vpn says so in one line when the executable is damaged", async (cache) => {
  const copy = `${cache}-vpn`;
  await Deno.copyFile(EXECUTABLE, copy);
  {
    using file = Deno.openSync(copy, { write: true });
    file.seekSync(1_000_000, Deno.SeekMode.Start);
    file.writeSync(new TextEncoder().encode("damage"));
  }
  const { code, stdout, stderr } = await run(null, [copy, "--version"], {
    env: { VPN_CACHE: cache },
  });
  assertEquals({ code, stdout }, { code: 1, stdout: "" });
  assertMatch(stderr, /^vpn: Cannot start: .* is damaged.*\n$/);
});
