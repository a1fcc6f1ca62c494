/** Tests of `lib/commands/doctor/name_checks.ts`: which resolvers a host uses, and what their answers mean. */
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateServer } from "../../../../lib/core/config/roles.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import type { Asked } from "../../../../lib/commands/doctor/ask_resolver.ts";
import {
  checkBlockLists,
  judgeFile,
  judgeResolvers,
  judgeUsed,
  sourceOf,
} from "../../../../lib/commands/doctor/name_checks.ts";

const FILE = "/etc/resolv.conf";

function source(switchText: string | null, text: string | null, isResolved = false) {
  const found = sourceOf(switchText, { file: FILE, text, isResolved });
  return found.kind === "some" ? found.servers.join(" ") : found.why;
}

Deno.test("sourceOf() takes what resolv.conf names, where nsswitch.conf says dns or nothing", () => {
  const text = "search example.org\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n";
  for (
    const line of ["hosts: files dns\n", "hosts:\tfiles mdns4_minimal [NOTFOUND=return] dns\n"]
  ) {
    assertEquals(source(line, text), "192.0.2.53 192.0.2.54");
  }
  assertEquals(source(null, text), "192.0.2.53 192.0.2.54");
  assertEquals(source(null, "# nothing\n"), "127.0.0.1");
});

Deno.test("sourceOf() takes systemd-resolved where nsswitch.conf asks it first and it runs", () => {
  const line = "hosts: files resolve [!UNAVAIL=return] dns\n";
  assertEquals(source(line, "nameserver 192.0.2.53\n", true), "127.0.0.53");
  assertEquals(source(line, "nameserver 192.0.2.53\n", false), "192.0.2.53");
});

Deno.test("sourceOf() says what is lacking where no name can be looked up", () => {
  assertMatch(source("hosts: files\n", "nameserver 192.0.2.53\n"), /nsswitch\.conf has no `dns`/);
  assertMatch(source(null, null), /resolv\.conf does not exist, or is a broken link/);
});

Deno.test("judgeResolvers() fails where a tunnel's resolvers do not answer, and warns of each dead one", () => {
  const judge = (outcomes: readonly (Asked | null)[], isOurs = true) =>
    judgeResolvers(
      outcomes.map((outcome, index) => ({ server: `192.0.2.${index}`, outcome })),
      { by: FILE, isOurs },
    ).map(({ status }) => status);
  assertEquals(judge(["answered", "answered"]), ["ok"]);
  for (const bad of ["silent", "failing", "refused"] as const) {
    assertEquals(judge([bad]), ["fail"], bad);
    assertEquals(judge([bad], false), ["warn"], bad);
    assertEquals(judge([bad, "answered"]), ["warn"], bad);
  }
  assertEquals(judge([null]), ["ok"]);
});

Deno.test("judgeUsed() finds that another program has overwritten the tunnel's resolver", () => {
  const judge = (used: readonly string[]) =>
    judgeUsed(["10.66.77.1"], { used, by: FILE, place: "client.conf:4" });
  assertEquals(judge(["10.66.77.1"]), []);
  assertEquals(judge(["127.0.0.1"]), []);
  assertMatch(judge(["192.0.2.53"])[0]!.why, /is 10\.66\.77\.1, but this host uses 192\.0\.2\.53 /);
  assertMatch(judge([])[0]!.why, /uses no resolver/);
});

hostTest(
  "judgeFile() finds a resolv.conf that cannot be written, and takes one that is right or is not there",
  () => {
    const folder = temporaryFolder();
    const file = `${folder}/resolv.conf`;
    const judge = (path: string) =>
      judgeFile(path, { servers: ["10.66.77.1"], search: [] }, { place: "client.conf:4" })[0]!;
    assertEquals(judge(file).status, "ok");
    Deno.writeTextFileSync(file, "nameserver 192.0.2.53\n");
    assertEquals(judge(file).status, "ok");
    // What a container engine makes of the mount of a file that is not there.
    Deno.mkdirSync(`${folder}/mounted`);
    const broken = judge(`${folder}/mounted`);
    assertEquals(broken.status, "fail");
    assertMatch(
      broken.why,
      /^DNS \(client\.conf:4\) cannot be set, as .*mounted is not writable/,
    );
    assertMatch(broken.remedy!, /`--dns 10\.66\.77\.1`/);
    Deno.writeTextFileSync(file, "nameserver 10.66.77.1\n");
    assertMatch(judge(file).why, /already contains the resolvers of DNS$/);
  },
);

hostTest(
  "checkBlockLists() reads the lists of a gateway, and says which cannot be used",
  async () => {
    const folder = temporaryFolder();
    const { privateKey } = sampleKeys(1);
    const look = async (...lines: readonly string[]) => {
      const text = [
        "[Interface]",
        `PrivateKey = ${privateKey}`,
        "Address = 10.0.0.1/24",
        ...lines,
      ];
      const server = validateServer(parseConfig(text.join("\n"), `${folder}/server.conf`));
      const place = (key: string) => `server.conf: ${key}`;
      return (await checkBlockLists({ server, place })).map(({ status, why }) =>
        `${status} ${why}`
      );
    };
    Deno.writeTextFileSync(`${folder}/list`, "a.example\n||b.example^\n");
    assertEquals(await look("DnsProxy = 9.9.9.9"), []);
    assertEquals(await look("DnsProxy = 9.9.9.9", "DnsBlock = list"), ["ok 2 names are blocked"]);
    assertEquals(await look("DnsProxy = 9.9.9.9", "DnsBlock = lost"), [
      `fail Cannot use DnsBlock = ${folder}/lost: no such file`,
    ]);
  },
);
