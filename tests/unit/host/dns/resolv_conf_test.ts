/** Tests of `lib/host/dns/resolv_conf.ts`: a file of ours as libc reads it, and as we read it ourselves. */
import {
  formatResolvConf,
  nameServersOf,
  readMarker,
} from "../../../../lib/host/dns/resolv_conf.ts";
import { assertEquals } from "../../../support/assert.ts";

const OURS = {
  owner: "12-345",
  servers: ["10.66.77.1", "9.9.9.9"],
  search: ["corp.example", "lan"],
};

/** What libc takes note of (resolv.conf(5)). */
function effective(text: string): string[] {
  return text.split("\n").filter((line) => line !== "" && !/^[#;]/.test(line));
}

Deno.test("formatResolvConf() names the resolvers and search domains alone", () => {
  for (const before of [null, "nameserver 192.0.2.1\noptions rotate\nsearch home\n"]) {
    assertEquals(effective(formatResolvConf({ ...OURS, before })), [
      "nameserver 10.66.77.1",
      "nameserver 9.9.9.9",
      "search corp.example lan",
    ]);
  }
});

Deno.test("formatResolvConf() keeps the resolvers that are there when it is given none", () => {
  const before = "nameserver 192.0.2.1\n#nameserver 192.0.2.2\n\tnameserver\t192.0.2.3 \n";
  assertEquals(effective(formatResolvConf({ ...OURS, servers: [], before })), [
    "nameserver 192.0.2.1",
    "nameserver 192.0.2.3",
    "search corp.example lan",
  ]);
});

for (
  const [what, before] of [
    ["no file", null],
    ["an empty file", ""],
    ["a file", "nameserver 192.0.2.1\n"],
    ["a file whose last line has no end", "nameserver 192.0.2.1"],
    ["empty lines", "\n\nnameserver 192.0.2.1\n\n"],
    ["comments like ours", "#| a\n# vpn 1-2: \n#|\n"],
    ["other ends of lines, and every byte", `a\r\n${String.fromCharCode(...Array(256).keys())}`],
  ] as const
) {
  Deno.test(`readMarker() gives back what was there before: ${what}`, () => {
    const text = formatResolvConf({ ...OURS, before });
    assertEquals(readMarker(text), { owner: "12-345", before });
  });
}

Deno.test("readMarker() knows other files from ours", () => {
  for (const text of ["", "nameserver 192.0.2.1\n", "\n# vpn 1-2: x\n", "# vpn is down\n"]) {
    assertEquals(readMarker(text), null);
  }
});

Deno.test("nameServersOf() reads what libc reads", () => {
  const text =
    "nameserver 1.1.1.1\n;nameserver 2.2.2.2\n nameserver 3.3.3.3 x\nnameservers 4.4.4.4\nnameserver fd00::1\n";
  assertEquals(nameServersOf(text), ["1.1.1.1", "3.3.3.3", "fd00::1"]);
});
