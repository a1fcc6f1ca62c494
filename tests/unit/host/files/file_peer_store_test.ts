/** Shows that a configuration is a peer store as good as any, and what becomes of the rest of the file. */
import { FilePeerStore } from "../../../../lib/host/files/file_peer_store.ts";
import { RefusalError } from "../../../../lib/core/config/refusal_error.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { peerStoreSuite, type StoreSite } from "../../../support/control/peer_store_suite.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const HEAD = `# mine
[Interface]
PrivateKey = ${sampleKeys(1).privateKey} # never tell
Address = 10.66.77.1/24
`;
const [LAPTOP, PHONE, OTHER] = [2, 3, 4].map((byte) => sampleKeys(byte).publicKey) as [
  string,
  string,
  string,
];
const FILE = `${HEAD}
# laptops: one
[Peer]
Name = laptop # the grey one
PublicKey = ${LAPTOP}
allowedips = 10.66.77.2/32

[Group]
Name = staff
Allow = internet # not the printer

[Peer]
Name = phone
PublicKey = ${PHONE}
AllowedIPs = 10.66.77.3/32
# the end
`;

class Site implements StoreSite, Disposable {
  readonly folder = temporaryFolder();
  readonly path = `${this.folder}/server.conf`;
  readonly problems: string[] = [];
  readonly store = new FilePeerStore(this.path, {
    onProblem: (problem) => this.problems.push(problem),
    interval: 5,
  });

  constructor(text: string) {
    Deno.writeTextFileSync(this.path, text, { mode: 0o640 });
    Deno.chmodSync(this.path, 0o600);
  }

  get text(): string {
    return Deno.readTextFileSync(this.path);
  }

  /** All files but the configuration. */
  get others(): string[] {
    return Array.from(Deno.readDirSync(this.folder), ({ name }) => name)
      .filter((name) => name !== "server.conf").sort();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
    return Promise.resolve();
  }
}

peerStoreSuite("file", () => Promise.resolve(new Site(HEAD)), hostTest);

hostTest(
  "a change of a file changes the lines that it is about, and keeps mode and comments",
  async () => {
    using site = new Site(FILE);
    const { peers } = await site.store.snapshot();
    await site.store.change(() => [
      {
        kind: "put-peer",
        publicKey: LAPTOP,
        settings: { ...peers.get(LAPTOP), Name: "notebook", Enabled: "no" },
      },
      { kind: "put-group", name: "staff", settings: { Allow: "internet, lan" } },
    ]);
    assertEquals(
      site.text,
      FILE.replace("laptop # the", "notebook # the")
        .replace("10.66.77.2/32\n", "10.66.77.2/32\nEnabled = no\n")
        .replace("internet # not", "internet, lan # not"),
    );
    assertEquals(Deno.statSync(site.path).mode! & 0o777, 0o600);
    await site.store.change(() => [
      { kind: "put-peer", publicKey: LAPTOP, settings: peers.get(LAPTOP)! },
      { kind: "put-group", name: "staff", settings: { Allow: "internet" } },
    ]);
    assertEquals(site.text, FILE);
    assertEquals(site.others, []);
  },
);

hostTest("what is added to a file stands at its end, and goes without a trace", async () => {
  using site = new Site(FILE);
  const settings = { Name: "tablet", AllowedIPs: "10.66.77.9/32", Groups: "night" };
  await site.store.change(() => [
    { kind: "put-group", name: "night", settings: {} },
    { kind: "put-peer", publicKey: OTHER, settings },
  ]);
  const added = `\n[Group]\nName = night\n\n[Peer]\nName = tablet\nPublicKey = ${OTHER}\n` +
    "AllowedIPs = 10.66.77.9/32\nGroups = night\n";
  assertEquals(site.text, FILE + added);
  await site.store.change(() => [
    { kind: "delete-peer", publicKey: OTHER },
    { kind: "delete-group", name: "night" },
  ]);
  assertEquals(site.text, FILE);
});

hostTest("a client's own file is renamed and removed with the client", async () => {
  using site = new Site(FILE);
  const folder = `${site.folder}/server.peers`;
  Deno.mkdirSync(folder, { mode: 0o700 });
  Deno.writeTextFileSync(`${folder}/laptop.conf`, "its own");
  const files = () => Array.from(Deno.readDirSync(folder), ({ name }) => name);
  const { peers } = await site.store.snapshot();
  const settings = { ...peers.get(LAPTOP), Name: "notebook" };
  await site.store.change(() => [{ kind: "put-peer", publicKey: LAPTOP, settings }]);
  assertEquals(files(), ["notebook.conf"]);
  await site.store.change(() => [{ kind: "delete-peer", publicKey: LAPTOP }]);
  assertEquals([site.others, site.problems], [[], []]);
});

hostTest(
  "what an editor writes while a change is made is not lost: the change is refused",
  async () => {
    using site = new Site(FILE);
    const edited = `${FILE}# and more\n`;
    const refusal = await assertRejects(
      () =>
        site.store.change(() => [{ kind: "delete-peer", publicKey: PHONE }], () => {
          // As editors do: a new file under the name, and none of them knows of a lock.
          Deno.writeTextFileSync(`${site.path}.new`, edited);
          Deno.renameSync(`${site.path}.new`, site.path);
          return Promise.resolve();
        }),
      RefusalError,
      "another program has changed it meanwhile",
    );
    assertEquals([refusal.code, site.text, site.others], ["revision", edited, []]);
  },
);

hostTest("a file that is no configuration any more is left as it is", async () => {
  using site = new Site(`${FILE}[Peer]\n`);
  const write = () => site.store.change(() => [{ kind: "delete-peer", publicKey: PHONE }]);
  const refusal = await assertRejects(write, RefusalError, "PublicKey is missing");
  assertEquals([refusal.code, site.text], ["invalid", `${FILE}[Peer]\n`]);
});

hostTest("a peer in two sections has a new key behind the last of them", async () => {
  const twice = `${FILE}[Peer]\nPublicKey = ${LAPTOP}\nName = phone-2\n`;
  using site = new Site(twice);
  const { peers } = await site.store.snapshot();
  await site.store.change(() => [
    { kind: "put-peer", publicKey: LAPTOP, settings: { ...peers.get(LAPTOP), RateLimit: "5M" } },
  ]);
  assertEquals(site.text, `${twice}RateLimit = 5M\n`);
});

hostTest("a file that cannot be written says so, and nothing is changed", async () => {
  using site = new Site(FILE);
  const huge = { Name: "x", Allow: Array.from({ length: 9 }, () => "lan").join(", ") };
  Deno.writeTextFileSync(site.path, `${FILE}#${"x".repeat(1024 * 1024 - FILE.length - 2)}\n`);
  const before = site.text;
  const refusal = await assertRejects(
    () => site.store.change(() => [{ kind: "put-peer", publicKey: OTHER, settings: huge }]),
    RefusalError,
    "longer than 1 MiB",
  );
  assertEquals([refusal.code, site.text === before], ["unavailable", true]);
});

hostTest(
  "one that is killed before it writes leaves the file as it was, and to the next",
  async () => {
    using site = new Site(FILE);
    const program = new URL("../../../support/peer/stuck_writer_program.ts", import.meta.url);
    const stuck = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-check", "--allow-all", program.pathname, site.path],
      stdout: "piped",
    }).spawn();
    const reader = stuck.stdout.getReader();
    assertEquals(new TextDecoder().decode((await reader.read()).value), "about to write\n");
    // It has the lock until it ends, however that is.
    const change = site.store.change(() => [{ kind: "put-group", name: "next", settings: {} }]);
    stuck.kill("SIGKILL");
    await stuck.status;
    await reader.cancel();
    await change;
    assertEquals(site.text, `${FILE}\n[Group]\nName = next\n`);
    assertEquals(site.others, []);
  },
);

hostTest(
  "others have their turn while a file of thousands of peers is read and changed",
  async () => {
    const peers = Array.from({ length: 3_000 }, (_, index) => {
      const key = encodeKey(
        new Uint8Array(32).fill(7).map((byte, at) => at < 2 ? index >> 8 * at : byte),
      );
      return `\n[Peer]\nName = p${index}\nPublicKey = ${key}\nAllowedIPs = 10.${index >> 8}.${
        index & 255
      }.9/32\n`;
    });
    using site = new Site(`${HEAD}${peers.join("")}`);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    try {
      const { peers: read } = await site.store.snapshot();
      assertEquals(read.size, 3_000);
      assert(turns > 0, "nobody had a turn while the file was read");
      turns = 0;
      const [publicKey] = read.keys();
      await site.store.change(() => [{ kind: "delete-peer", publicKey: publicKey! }]);
      // It is read, edited and read again.
      assert(turns > 3, `others had ${turns} turns while the file was changed`);
    } finally {
      clearInterval(timer);
    }
    assertEquals(site.text.match(/^\[Peer\]$/gm)?.length, 2_999);
  },
);

hostTest(
  "a key that takes the place of a peer's changes its section, and leaves the client's file",
  async () => {
    using site = new Site(FILE);
    Deno.mkdirSync(`${site.folder}/server.peers`, { mode: 0o700 });
    Deno.writeTextFileSync(`${site.folder}/server.peers/laptop.conf`, "new", { mode: 0o600 });
    const next = { NextPublicKey: OTHER, NextPresharedKey: PHONE };
    const before = (await site.store.snapshot()).peers.get(LAPTOP)!;
    await site.store.change(() => [
      { kind: "put-peer", publicKey: LAPTOP, settings: { ...before, ...next } },
    ]);
    const networks = "allowedips = 10.66.77.2/32\n";
    const lines = `NextPublicKey = ${OTHER}\nNextPresharedKey = ${PHONE}\n`;
    assertEquals(site.text, FILE.replace(networks, networks + lines));
    await site.store.change(() => [
      { kind: "delete-peer", publicKey: LAPTOP },
      { kind: "put-peer", publicKey: OTHER, settings: { ...before, PresharedKey: PHONE } },
    ]);
    assertEquals(
      site.text,
      FILE.replace(LAPTOP, OTHER).replace(networks, `${networks}PresharedKey = ${PHONE}\n`),
    );
    assertEquals([site.others, site.problems], [["server.peers"], []]);
  },
);
