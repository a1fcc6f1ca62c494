/** Tests of the archive in a backup: what goes in comes out, and nothing else is taken out of it. */
import { packTar, type TarHeader } from "modern-tar";
import { packArchive, unpackArchive } from "../../../../lib/host/files/backup_archive.ts";
import { AppError } from "../../../../lib/process/errors.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";

const FILES = [
  { name: "vpn0.conf", content: new TextEncoder().encode("[Interface]\n"), modified: 86_400_000 },
  { name: "vpn0.peers/Ann's phone (new).conf", content: new Uint8Array(), modified: 0 },
  { name: `vpn0.peers/${"ü".repeat(100)}.conf`, content: new Uint8Array(2_000), modified: 1_000 },
];

Deno.test("an archive gives back the files that were packed, whatever their names", async () => {
  assertEquals(await unpackArchive(await packArchive(FILES), "b.age"), FILES);
});

const MIB = 1024 * 1024;

function tar(...headers: readonly (Partial<TarHeader> & { name: string })[]): Promise<Uint8Array> {
  return packTar(
    headers.map((header) => ({
      header: { size: 0, ...header },
      body: new Uint8Array(header.size ?? 0),
    })),
  );
}

const BAD: readonly (readonly [string, () => Uint8Array | Promise<Uint8Array>, string])[] = [
  ["no archive", () => crypto.getRandomValues(new Uint8Array(2_000)), "no tar archive"],
  ["nothing", () => new Uint8Array(), "damaged"],
  ["an empty archive", () => packTar([]), "it has 0 files"],
  ...[
    "../server.conf",
    "a\x1b[2Jb.conf",
    "a.peers/b\n.conf",
    "/etc/passwd.conf",
    "..",
    "a/b.conf",
    "a.peers/../b.conf",
    "a.peers/b/c.conf",
    "a.txt",
    ".ssh/authorized_keys",
    "../a.peers/b.conf",
    ".conf/x.conf",
  ].map((name) =>
    [`a file called ${name}`, () => tar({ name }), "neither a configuration"] as const
  ),
  ["the same file twice", () => tar({ name: "a.conf" }, { name: "a.conf" }), "in it twice"],
  ["a file of more than 1 MiB", () => tar({ name: "a.conf", size: MIB + 1 }), "longer than 1 MiB"],
  ["a file that is cut off", async () => (await packArchive(FILES)).slice(0, 515), "truncated"],
  ["a folder alone", () => tar({ name: "a.conf", type: "directory" }), "it has 0 files"],
  [
    "a symbolic link",
    () => tar({ name: "a.conf", type: "symlink", linkname: "b.conf" }),
    "neither a configuration",
  ],
  [
    "a hard link",
    () => tar({ name: "a.conf", type: "link", linkname: "/etc/shadow" }),
    "neither a configuration",
  ],
  ["a device", () => tar({ name: "a.conf", type: "block-device" }), "neither a configuration"],
];

for (const [what, make, why] of BAD) {
  Deno.test(`an archive is refused that is or has ${what}`, async () => {
    const bytes = new Uint8Array(await make());
    const error = await assertRejects(() => unpackArchive(bytes, "b.age"), AppError);
    assertStringIncludes(error.message, "Cannot restore b.age: ");
    assertStringIncludes(error.message, why);
  });
}
