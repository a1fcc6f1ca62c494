/** Shows which of a program's mappings are given back, by raw text of /proc/PID/smaps. */
import { mappingsOf, releaseProgramPages } from "../../../ffi/program_pages.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

/** As the kernel writes it, cut to some of the fields. */
function mapping(header: string, rss: number, anonymous: number): string {
  return `${header}
Size:               1024 kB
Rss:             ${String(rss).padStart(7)} kB
Private_Dirty:         0 kB
Anonymous:       ${String(anonymous).padStart(7)} kB
AnonHugePages:         0 kB
VmFlags: rd ex mr mw me sd
`;
}

const PROGRAM = "/usr/bin/vpn (deleted)";

const CASES = [
  ["code", "5600-7600 r-xp 00001000 08:01 42                         PROGRAM", 31064, 0, true],
  ["tables", "1000-5600 r--p 00000000 08:01 42                         PROGRAM", 14680, 0, true],
  ["relocated tables", "7600-7700 r--p 0600 08:01 42     PROGRAM", 300, 300, false],
  [
    "tables of which one page was relocated",
    "7600-7700 r--p 0600 08:01 42     PROGRAM",
    300,
    4,
    false,
  ],
  ["data", "7700-7800 rw-p 0700 08:01 42     PROGRAM", 300, 0, false],
  ["data that is code", "7700-7800 rwxp 0700 08:01 42     PROGRAM", 300, 0, false],
  ["what must not be read", "7800-7900 ---p 0700 08:01 42     PROGRAM", 0, 0, false],
  ["a library", "8000-9000 r-xp 0000 08:01 43     /usr/lib/libcrypto.so.3", 1972, 0, false],
  ["a file whose name begins alike", "8000-9000 r-xp 0 08:01 43     PROGRAM.so", 1972, 0, false],
  ["memory without a file", "9000-a000 r-xp 00000000 00:00 0 ", 200, 0, false],
] as const;

for (const [title, header, rss, anonymous, isGiven] of CASES) {
  Deno.test(`${title}: ${isGiven ? "given back" : "kept"}`, () => {
    const other = mapping("7ffc00-7ffd00 r-xp 00000000 00:00 0                  [vdso]", 4, 0);
    const text = other + mapping(header.replace("PROGRAM", PROGRAM), rss, anonymous) + other;
    const [from, to] = header.split(" ")[0]!.split("-").map((part) => parseInt(part!, 16));
    const given = { address: BigInt(from!), length: to! - from!, resident: rss * 1024 };
    assertEquals(mappingsOf(PROGRAM, text), isGiven ? [given] : []);
  });
}

hostTest("a program runs on when its pages are given back, and has fewer for a while", () => {
  const resident = () =>
    mappingsOf(Deno.readLinkSync("/proc/self/exe"), Deno.readTextFileSync("/proc/self/smaps"))
      .reduce((sum, { resident }) => sum + resident, 0);
  // What has been mapped by now has been used; what is called below is a part of it.
  const before = resident();
  const released = releaseProgramPages();
  assert(released > 0 && released <= before + 64 * 2 ** 20, `${released} of ${before} bytes`);
  assert(resident() < before, "no page was given back");
  assertEquals(new Intl.NumberFormat("en").format(1234), "1,234");
});
