/** Tests that the sources keep to the architecture, and that the rules which say so can fail. */
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { emptyFile } from "../support/folder.ts";
import { offencesOf, partOf } from "../support/source/architecture.ts";
import { readSources, ROOT, sourcePaths } from "../support/source/files.ts";
import { hostTest } from "../support/permissions.ts";
import {
  crowdedFolders,
  deadExports,
  type Exceptions,
  fileCycles,
  longFiles,
  repeatedNames,
  unusedArrows,
} from "../support/source/house.ts";

/** Modules that act when they are imported, each with the reason; nothing but a `new Worker` names them. */
const ACT_ON_IMPORT: Readonly<Record<string, string>> = {
  "lib/dataplane/data_plane_worker.ts": "the entry of the data-plane thread takes over `onmessage`",
  "lib/commands/demo/demo_worker.ts": "the entry of a demo's thread takes over `onmessage`",
  "lib/dataplane/relay/relay_worker.ts": "the entry of a relay's thread takes over `onmessage`",
  "lib/dataplane/workers/packet_worker.ts":
    "the entry of a packet worker's thread takes over `onmessage`",
  "lib/console/page/main.tsx": "the entry of the page draws it",
};

/** Exports that the program does not use. */
const UNUSED: Exceptions = {
  "lib/cli/man_page.ts: manPage": "compile.sh calls it",
  "lib/console/page_files.ts: bundlePage": "compile.sh calls it",
  "lib/core/config/parse_config.ts: parseConfig": "tests read whole files by it",
  "lib/core/config/uapi.ts: parseUapiRequest": "tests read whole requests by it",
  "lib/core/config/uapi.ts: formatUapiDevice": "tests read whole answers by it",
  "lib/core/metrics/exposition.ts: formatExposition": "tests read whole pages by it",
  "lib/core/noise/constants.ts: IDENTIFIER": "tests check the hash that is made of it beforehand",
  "lib/core/wire/messages.ts":
    "the layout of the messages is whole; tests read what the core passes over",
  "lib/core/wire/tcp.ts": "the header is whole; tests read what the core passes over",
  "lib/core/wire/icmp.ts": "the header is whole; tests read what the core passes over",
  "lib/core/wire/ipv4.ts": "the header is whole; tests read what the core passes over",
  "ffi/errno.ts: EBUSY": "tests expect it",
  "ffi/errno.ts: EHOSTUNREACH": "tests expect it",
  "ffi/epoll.ts: EPOLLHUP": "tests expect it",
  "lib/dataplane/filters/steering.ts: workerOfIndex": "tests check by it what a program does",
  "lib/dataplane/filters/steering.ts: MAX_WORKERS": "tests run programs for each count",
};

interface Outcome {
  readonly success: boolean;
  readonly stderr: string;
}

/** Imports modules, by their URLs, in a process that has no permission at all. */
async function importWithoutPermission(urls: readonly string[]): Promise<Outcome> {
  const entry = emptyFile({ suffix: ".ts" });
  const lines = urls.map((url) => `import ${JSON.stringify(url)};`);
  await Deno.writeTextFile(entry, lines.join("\n"));
  const config = new URL("deno.json", ROOT).pathname;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-check", "--quiet", "--config", config, entry],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  return { success, stderr: new TextDecoder().decode(stderr) };
}

/** The URL of a module with the given source. */
function moduleUrl(source: string): string {
  return `data:application/typescript,${encodeURIComponent(source)}`;
}

hostTest("the sources keep to the architecture", async () => {
  const paths = await sourcePaths();
  for (const part of ["core/wire", "core/wireguard", "commands", "ffi", "main", "tests"]) {
    assert(paths.some((path) => partOf(path) === part), `no source of ${part} was found`);
  }
  const offences: string[] = [];
  for (const path of paths) {
    offences.push(...offencesOf(path, await Deno.readTextFile(new URL(path, ROOT))));
  }
  assertEquals(offences, []);
});

hostTest("importing any module opens no library and needs no permission", async () => {
  const paths = await sourcePaths();
  for (const path of Object.keys(ACT_ON_IMPORT)) assert(paths.includes(path), `${path} is gone`);
  const modules = paths.filter((path) =>
    /^(?:lib|ffi)\//.test(path) && ACT_ON_IMPORT[path] === undefined
  );
  assert(modules.length > 20, `only ${modules.length} modules were found`);
  const outcome = await importWithoutPermission(modules.map((path) => new URL(path, ROOT).href));
  assert(outcome.success, outcome.stderr);
});

hostTest("importing a module that opens a library, or reads a file, is found out", async () => {
  for (
    const [action, permission] of [
      [`Deno.dlopen("libc.so.6", {});`, "ffi access"],
      [`Deno.readTextFileSync("/etc/hostname");`, "read access"],
      [`Deno.env.get("HOME");`, "env access"],
      [`await Deno.connect({ port: 1 });`, "net access"],
    ] as const
  ) {
    const outcome = await importWithoutPermission([moduleUrl(action)]);
    assertEquals(outcome.success, false, action);
    assertStringIncludes(outcome.stderr, permission);
  }
});

hostTest("every arrow in the tables is one that an import uses", async () => {
  assertEquals(unusedArrows(await readSources()), []);
});

hostTest("no files import one another in a ring, types included", async () => {
  assertEquals(fileCycles(await readSources()), []);
});

hostTest("an exported name means one thing in the whole program", async () => {
  assertEquals(repeatedNames(await readSources()), []);
});

hostTest("what is exported is used by the program", async () => {
  assertEquals(deadExports(await readSources(), UNUSED), []);
});

hostTest("no file has more than 400 lines, and no folder more than 25 files", async () => {
  const sources = await readSources();
  assertEquals(longFiles(sources), []);
  assertEquals(crowdedFolders(sources), []);
});
