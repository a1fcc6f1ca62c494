/** Tests of what is read from Debian's archive. */
import { assertEquals } from "../../support/assert.ts";
import { librariesOf, type Package, parsePackages } from "./packages.ts";

const SHOWN = `Package: openvpn
Version: 2.7.8-1
Architecture: amd64
Pre-Depends: init-system-helpers (>= 1.54~)
Depends: debconf (>= 0.5) | debconf-2.0, libc6 (>= 2.38),
 libnl-3-200:any, libssl3t64 [amd64]
Description: virtual private network daemon
 A line of the description: with a colon.

Package: openvpn
Version: 2.6.3-1
Depends: libc6

Package: nebula
Version: 1.11.0+dfsg-1
`;

Deno.test("parsePackages() reads versions and dependencies, the first of several versions", () => {
  const packages = parsePackages(SHOWN);
  assertEquals([...packages.keys()], ["openvpn", "nebula"]);
  assertEquals(packages.get("openvpn"), {
    name: "openvpn",
    version: "2.7.8-1",
    depends: [
      ["init-system-helpers"],
      ["debconf", "debconf-2.0"],
      ["libc6"],
      ["libnl-3-200"],
      ["libssl3t64"],
    ],
  });
  assertEquals(packages.get("nebula")?.depends, []);
  assertEquals(parsePackages(""), new Map());
});

function archive(depends: Record<string, readonly (readonly string[])[]>) {
  const asked: string[] = [];
  const packages = new Map(
    Object.entries(depends).map(([name, list]): [string, Package] => [
      name,
      { name, version: "1", depends: list },
    ]),
  );
  const show = (names: readonly string[]) => {
    asked.push(...names);
    return Promise.resolve(new Map([...packages].filter(([name]) => names.includes(name))));
  };
  return { asked, show, root: packages.get("root")! };
}

Deno.test("librariesOf() follows libraries, and nothing else", async () => {
  const { asked, show, root } = archive({
    root: [["debconf"], ["libssl"], ["libc6"]],
    debconf: [["libperl"]],
    libperl: [],
    libssl: [["libc6"], ["zlib1g"], ["openssl-provider-legacy"]],
    zlib1g: [["libc6"]],
    libc6: [["libgcc"]],
    libgcc: [["libc6"]],
  });
  assertEquals(await librariesOf(root, show), ["libc6", "libgcc", "libssl", "zlib1g"]);
  // Each once, though libgcc and libc6 need each other.
  assertEquals(asked.toSorted(), ["libc6", "libgcc", "libssl", "zlib1g"]);
});

Deno.test("librariesOf() takes the first of several that the archive has", async () => {
  const { show, root } = archive({
    root: [["libssl4", "libssl3t64", "libssl3"], ["libgone"]],
    libssl3t64: [],
    libssl3: [],
  });
  assertEquals(await librariesOf(root, show), ["libssl3t64"]);
});
