/** Shows `vpn init` and `vpn peer` from outside: what they print, and that what they print is right. */
import { default as decode } from "jsqr";
import { loadConfig } from "../../../../lib/host/files/config_file.ts";
import { validateClient } from "../../../../lib/core/config/roles.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { run, type RunResult } from "../../../support/process.ts";
import { hostTest } from "../../../support/permissions.ts";

const MAIN = new URL("../../../../main.ts", import.meta.url).pathname;
const KEY = /[A-Za-z0-9+/]{43}=/;

/** A test with a folder of its own and the program run in it. */
function folderTest(
  name: string,
  test: (vpn: (...args: string[]) => Promise<RunResult>, folder: string) => Promise<void>,
): void {
  hostTest(name, async () => {
    const folder = temporaryFolder();
    const command = ["sh", "-c", `cd "$0" && exec "$@"`, folder];
    const program = [Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all", MAIN];
    await test((...args) => run(null, [...command, ...program, ...args]), folder);
  });
}

/** What a program that succeeds writes. */
function said({ code, stdout, stderr }: RunResult): string {
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  return stdout;
}

folderTest(
  "vpn init writes a file for its owner alone and names the next commands",
  async (vpn, folder) => {
    const text = said(await vpn("init", "--endpoint", "vpn.example.org"));
    assertStringIncludes(text, "vpn peer add laptop");
    assertStringIncludes(text, "vpn server --config server.conf");
    assertEquals(KEY.test(text), false);
    assertEquals(Deno.statSync(`${folder}/server.conf`).mode! & 0o777, 0o600);
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["server.conf"]);
  },
);

folderTest("vpn init overwrites nothing", async (vpn, folder) => {
  await Deno.writeTextFile(`${folder}/server.conf`, "precious");
  assertEquals(await vpn("init", "--endpoint", "vpn.example.org"), {
    code: 2,
    stdout: "",
    stderr: "vpn: Cannot write server.conf: it exists already and contains keys: " +
      "remove it, or choose another name with --out FILE\n",
  });
  assertEquals(await Deno.readTextFile(`${folder}/server.conf`), "precious");
  assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["server.conf"]);
  const other = said(await vpn("init", "--endpoint", "192.0.2.1", "--out", "new/a b.conf"));
  assertStringIncludes(other, "vpn peer add laptop --config 'new/a b.conf'");
  assertEquals(Deno.statSync(`${folder}/new`).mode! & 0o777, 0o700);
});

folderTest(
  "vpn peer adds, shows and removes a client whose name has blanks, and says its commands for a shell",
  async (vpn, folder) => {
    said(await vpn("init", "--endpoint", "vpn.example.org"));
    const name = "Ann's phone (new)";
    const added = said(await vpn("peer", "add", name));
    assertStringIncludes(added, "vpn client --config 'Ann'\\''s phone (new).conf'");
    assertStringIncludes(added, "vpn peer show 'Ann'\\''s phone (new)' --qr");
    const config = loadConfig(`${folder}/server.peers/${name}.conf`);
    assertEquals(validateClient(config).warnings, []);
    const [peer] = JSON.parse(said(await vpn("peer", "list", "--json")));
    assertEquals([peer.name, peer.file], [name, `server.peers/${name}.conf`]);
    assertStringIncludes(said(await vpn("peer", "show", name)), `name           ${name}\n`);
    assertStringIncludes(
      said(await vpn("peer", "remove", name)),
      "Removed Ann's phone (new) from server.conf",
    );
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["server.conf"]);
  },
);

folderTest(
  "vpn peer lists and shows what it added, and no private or preshared key",
  async (vpn, folder) => {
    said(await vpn("init", "--endpoint", "vpn.example.org"));
    assertStringIncludes(said(await vpn("peer", "list")), "server.conf has no peers");
    assertEquals(JSON.parse(said(await vpn("peer", "list", "--json"))), []);
    const added = said(await vpn("peer", "add", "laptop"));
    assertStringIncludes(added, "Added laptop with inner address 10.66.77.2 to server.conf");
    assertStringIncludes(added, "server.peers/laptop.conf");
    assertEquals(KEY.test(added), false);
    const kept = await vpn("peer", "add", "phone", "--out", "-");
    assertEquals(kept.code, 0);
    assertStringIncludes(kept.stderr, "Added phone with inner address 10.66.77.3");
    assertMatch(kept.stdout, /^\[Interface\]\nPrivateKey = /);

    const server = await Deno.readTextFile(`${folder}/server.conf`);
    const publicKeys = Array.from(server.matchAll(/^PublicKey = (.*)$/gm), ([, key]) => key!);
    assertEquals(JSON.parse(said(await vpn("peer", "list", "--json"))), [
      {
        name: "laptop",
        publicKey: publicKeys[0],
        allowedIps: ["10.66.77.2/32"],
        hasPresharedKey: true,
        groups: [],
        admission: "admitted",
        expires: null,
        quota: null,
        quotaRate: null,
        nextPublicKey: null,
        keyExpires: null,
        file: "server.peers/laptop.conf",
      },
      {
        name: "phone",
        publicKey: publicKeys[1],
        allowedIps: ["10.66.77.3/32"],
        hasPresharedKey: true,
        groups: [],
        admission: "admitted",
        expires: null,
        quota: null,
        quotaRate: null,
        nextPublicKey: null,
        keyExpires: null,
        file: null,
      },
    ]);
    assertEquals(
      said(await vpn("peer", "list")),
      `NAME    ADDRESSES      PUBLIC KEY                                    FILE
laptop  10.66.77.2/32  ${publicKeys[0]}  server.peers/laptop.conf
phone   10.66.77.3/32  ${publicKeys[1]}  -
`,
    );
    assertEquals(
      said(await vpn("peer", "show", "phone")),
      `name           phone
public key     ${publicKeys[1]}
preshared key  yes
addresses      10.66.77.3/32
groups         -
allow          -
deny           -
access         admitted
expires        never
quota          none
configuration  not stored here
`,
    );
    const { code, stderr } = await vpn("peer", "show", "phone", "--qr");
    assertEquals(code, 2);
    assertStringIncludes(stderr, "its configuration file is not at server.peers/phone.conf");
  },
);

folderTest("vpn peer show --qr is read by a scanner as the client's file", async (vpn, folder) => {
  said(await vpn("init", "--endpoint", "vpn.example.org"));
  said(await vpn("peer", "add", "phone"));
  const code = said(await vpn("peer", "show", "phone", "--qr"));
  assertEquals(scan(code), await Deno.readTextFile(`${folder}/server.peers/phone.conf`));
});

folderTest(
  "vpn peer show --qr FILE writes for its owner alone, and over nothing unless asked to",
  async (vpn, folder) => {
    said(await vpn("init", "--endpoint", "vpn.example.org"));
    said(await vpn("peer", "add", "phone"));
    const text = said(await vpn("peer", "show", "phone", "--qr", "phone.svg"));
    assertStringIncludes(
      text,
      "QR code with the configuration of phone, private key included: phone.svg",
    );
    assertEquals(KEY.test(text), false);
    const path = `${folder}/phone.svg`;
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
    assertStringIncludes(await Deno.readTextFile(path), "<svg ");

    await Deno.writeTextFile(`${folder}/precious`, "precious");
    await Deno.symlink("precious", `${folder}/link.png`);
    for (const name of ["phone.svg", "link.png"]) {
      const { code, stderr } = await vpn("peer", "show", "phone", "--qr", name);
      assertEquals([code, stderr], [
        2,
        `vpn: Cannot write ${name}: it exists already: choose another name, or add --overwrite\n`,
      ]);
    }
    said(await vpn("peer", "show", "phone", "--qr", "link.png", "--overwrite"));
    assertEquals(await Deno.readTextFile(`${folder}/precious`), "precious");
    const { isFile, mode } = Deno.lstatSync(`${folder}/link.png`);
    assertEquals([isFile, mode! & 0o777], [true, 0o600]);
    assertEquals(
      Array.from(Deno.readDirSync(folder), ({ name }) => name).sort(),
      ["link.png", "phone.svg", "precious", "server.conf", "server.peers"],
    );
  },
);

folderTest(
  "vpn peer show --qr says so where a configuration is too long for a code",
  async (vpn, folder) => {
    said(await vpn("init", "--endpoint", "vpn.example.org"));
    said(await vpn("peer", "add", "phone"));
    await Deno.writeTextFile(`${folder}/server.peers/phone.conf`, `# ${"x".repeat(3000)}\n`, {
      append: true,
    });
    const { code, stdout, stderr } = await vpn("peer", "show", "phone", "--qr");
    assertEquals([code, stdout], [2, ""]);
    assertMatch(
      stderr,
      /^vpn: Cannot show phone as a QR code: its configuration has 3\d+ bytes, a code 2953 at most: /,
    );
  },
);

folderTest(
  "vpn peer changes a client's access, name and keys, and shows them",
  async (vpn, folder) => {
    said(await vpn("init", "--endpoint", "vpn.example.org"));
    said(await vpn("peer", "add", "laptop", "--expires", "2127-01-31T19:00:00+01:00"));
    const config = () => Deno.readTextFile(`${folder}/server.conf`);
    const added = await config();
    assertStringIncludes(added, "\nExpires = 2127-01-31T18:00:00Z\n");
    assertEquals(
      said(await vpn("peer", "disable", "laptop")),
      "Disabled laptop in server.conf.\n",
    );
    assertMatch(
      said(await vpn("peer", "list")),
      /^NAME +ADDRESSES +ACCESS +EXPIRES .*\nlaptop +10\.66\.77\.2\/32 +disabled +2127-01-31T18:00:00Z /,
    );
    assertEquals(said(await vpn("peer", "enable", "laptop")), "Enabled laptop in server.conf.\n");
    assertEquals(await config(), added);
    assertEquals(
      said(await vpn("peer", "expire", "laptop", "2026-01-01")),
      "The access of laptop in server.conf ended at 2026-01-01T00:00:00Z.\n",
    );
    const [peer] = JSON.parse(said(await vpn("peer", "list", "--json")));
    assertEquals([peer.admission, peer.expires], ["expired", "2026-01-01T00:00:00Z"]);
    const stripped = await vpn("strip", "./server.conf");
    assertStringIncludes(stripped.stderr, "is left out: it is disabled or has expired");
    assertEquals(stripped.stdout.includes("[Peer]"), false);

    said(await vpn("peer", "rename", "laptop", "tablet"));
    said(await vpn("peer", "expire", "tablet", "never"));
    said(await vpn("peer", "set", "tablet", "ratelimit", "10M"));
    const show = said(await vpn("peer", "show", "tablet"));
    assertStringIncludes(show, "configuration  server.peers/tablet.conf\n");
    assertEquals(
      await config(),
      added.replace("Name = laptop", "Name = tablet")
        .replace(/Expires = .*/, "RateLimit = 10M"),
    );
    const keyed = await vpn("peer", "set", "tablet", "PresharedKey", "-");
    assertEquals(keyed.code, 2);
    assertStringIncludes(keyed.stderr, "Cannot read the preshared key");
    for (const words of [["PublicKey", "x"], ["Endpiont", "x"], ["RateLimit"], []]) {
      const refused = await vpn("peer", "set", "tablet", ...words);
      assertEquals([refused.code, refused.stdout], [2, ""], words.join(" "));
    }
  },
);

folderTest(
  "vpn peer lists and changes the clients of a group together",
  async (vpn, folder) => {
    said(await vpn("init", "--endpoint", "vpn.example.org"));
    const config = `${folder}/server.conf`;
    await Deno.writeTextFile(config, "\n[Group]\nName = staff\n", { append: true });
    said(await vpn("peer", "add", "laptop", "--groups", "staff"));
    said(await vpn("peer", "add", "phone"));
    said(await vpn("peer", "add", "tablet"));
    said(await vpn("peer", "set", "tablet", "Groups", "staff"));
    const before = await Deno.readTextFile(config);
    const members = JSON.parse(said(await vpn("peer", "list", "--group", "staff", "--json")));
    assertEquals(members.map(({ name }: { name: string }) => name), ["laptop", "tablet"]);
    assertEquals(
      said(await vpn("peer", "disable", "@staff")),
      "Disabled laptop, tablet in server.conf.\n",
    );
    const all = JSON.parse(said(await vpn("peer", "list", "--json")));
    assertEquals(
      all.map(({ admission, groups }: { admission: string; groups: string[] }) => [
        admission,
        groups,
      ]),
      [["disabled", ["staff"]], ["admitted", []], ["disabled", ["staff"]]],
    );
    said(await vpn("peer", "enable", "@staff"));
    assertEquals(await Deno.readTextFile(config), before);
    for (
      const [words, problem] of [
        [["disable", "@stuff"], 'server.conf has no group "stuff": did you mean "staff"?'],
        [["list", "--group", "x"], 'has no group "x": add a section [Group] with Name = x'],
        [["set", "@staff", "AllowedIPs", "10.0.0.1"], "Cannot set AllowedIPs of @staff"],
        [["set", "phone", "Groups", "nobody"], "there is no [Group] with Name = nobody"],
        [["rename", "@staff", "x"], 'cannot use "@staff"'],
      ] as const
    ) {
      const { code, stderr } = await vpn("peer", ...words);
      assertEquals(code, 2);
      assertStringIncludes(stderr, problem);
    }
    assertEquals(await Deno.readTextFile(config), before);
  },
);

folderTest("vpn peer remove takes both ends away", async (vpn, folder) => {
  said(await vpn("init", "--endpoint", "vpn.example.org"));
  const before = await Deno.readTextFile(`${folder}/server.conf`);
  said(await vpn("peer", "add", "phone"));
  assertEquals(
    said(await vpn("peer", "remove", "phone")),
    "Removed phone from server.conf, and its configuration file is deleted.\n",
  );
  assertEquals(await Deno.readTextFile(`${folder}/server.conf`), before);
  assertEquals(await vpn("peer", "remove", "phone"), {
    code: 2,
    stdout: "",
    stderr: 'vpn: server.conf has no peer "phone": `vpn peer list` shows all peers\n',
  });
});

folderTest(
  "vpn peer says what is wrong with a file that is not there or that others can read",
  async (vpn, folder) => {
    const { code, stderr } = await vpn("peer", "list");
    assertEquals(code, 2);
    assertStringIncludes(stderr, '"server.conf": no such file: give one with --config FILE');
    said(await vpn("init", "--endpoint", "vpn.example.org"));
    Deno.chmodSync(`${folder}/server.conf`, 0o644);
    const warned = await vpn("peer", "list");
    assertEquals(warned.code, 0);
    assertStringIncludes(warned.stderr, "vpn: warning: server.conf: other users can read or write");
  },
);

folderTest(
  "vpn peer rotate gives up no keys for those that it cannot write, and --cancel leaves no file that is of no use",
  async (vpn, folder) => {
    said(await vpn("init", "--endpoint", "vpn.example.org"));
    said(await vpn("peer", "add", "laptop", "--endpoint=192.0.2.1", "--endpoint=b.example:2"));
    said(await vpn("peer", "rotate", "laptop", "--out", "laptop.conf"));
    assertMatch(
      Deno.readTextFileSync(`${folder}/laptop.conf`),
      /^Endpoint = 192\.0\.2\.1:51820\nEndpoint = b\.example:2$/m,
    );
    const server = Deno.readTextFileSync(`${folder}/server.conf`);
    assertMatch(server, /^NextPublicKey = /m);
    const again = await vpn("peer", "rotate", "laptop", "--out", "laptop.conf");
    assertEquals(again.code, 2);
    assertStringIncludes(again.stderr, "it exists already");
    const nowhere = await vpn("peer", "rotate", "laptop", "--out", "server.conf/x");
    assertEquals(nowhere.code, 2);
    assertEquals(Deno.readTextFileSync(`${folder}/server.conf`), server);
    assertEquals((await vpn("peer", "rotate", "nobody", "--out", "nobody.conf")).code, 2);
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name).toSorted(), [
      ...["laptop.conf", "server.conf", "server.peers"],
    ]);

    // What is kept is the file with the keys of before.
    assertEquals(
      said(await vpn("peer", "rotate", "laptop", "--cancel")),
      "Removed the new keys of laptop from server.conf.\n",
    );
    said(await vpn("peer", "rotate", "laptop"));
    assertStringIncludes(
      said(await vpn("peer", "rotate", "laptop", "--cancel")),
      "Its configuration file here, which had them, is deleted.\n",
    );
    assertEquals((await vpn("peer", "show", "laptop", "--qr")).code, 2);
  },
);

/** What a scanner reads in a code of half blocks, the light ones drawn, on a dark screen. */
function scan(code: string): string | undefined {
  const rows = code.trimEnd().split("\n").flatMap((line) => {
    const characters = [...line];
    return ["█▀", "█▄"].map((lit) => characters.map((each) => lit.includes(each) ? 255 : 0));
  });
  assert(rows.length > 0);
  const scale = 4;
  const [width, height] = [rows[0]!.length * scale, rows.length * scale];
  const image = new Uint8ClampedArray(width * height * 4);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    image.fill(rows[Math.floor(y / scale)]![Math.floor(x / scale)]!, pixel * 4, pixel * 4 + 4);
  }
  return decode.default(image, width, height)?.data;
}
