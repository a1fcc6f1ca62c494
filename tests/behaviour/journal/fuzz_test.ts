/** Tests with hostile text for what reads journals: a line that cannot be read hinders no other, and nothing throws. */
import { describeChange, type HostChange } from "../../../lib/host/journal/host_change.ts";
import { parseJournal } from "../../../lib/host/journal/journal_text.ts";
import { readJournal } from "../../../lib/host/journal/journal_files.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { fuzz } from "../../support/fuzz.ts";
import { mutateText } from "../../support/source/grammar.ts";
import { hostTest } from "../../support/permissions.ts";
import type { Random } from "../../support/random.ts";

const OWNER = JSON.stringify({
  pid: 1_999_999_999,
  startTime: "1",
  namespace: "net:[1]",
  cookie: "1",
  interfaceName: "vpn0",
});
const TABLE = { family: "inet", name: "vpn_vpn0_killswitch" } as const;
const RANGES = [{ first: 1, last: 65_535 }];

const CHANGES: readonly HostChange[] = [
  { kind: "rule", rule: { family: 2, table: 51820, priority: 1, mark: { value: 51820 } } },
  { kind: "route", destination: "::/0", table: 51820, type: 7 },
  { kind: "sysctl", path: "/proc/sys/net/ipv4/ip_forward", value: "1", before: "0" },
  { kind: "nftables-table", table: TABLE },
  { kind: "kill-switch", table: TABLE, server: { name: "gate.example", address: 1 } },
  { kind: "kill-switch", table: TABLE, server: null },
  { kind: "reserved-ports", ranges: RANGES },
  { kind: "nat-ports", device: "eth0", tcp: RANGES, udp: [] },
  { kind: "proxied-neighbours", device: "eth0", addresses: ["2001:db8::2"] },
  { kind: "hook", commands: [{ command: "true", place: "vpn0.conf:7: PostDown" }] },
  { kind: "directory", path: "/etc/netns/a" },
  { kind: "socket", path: "/run/vpn/vpn0.sock", pid: 7 },
  {
    kind: "resolv-conf",
    path: "/etc/resolv.conf",
    directory: "1:2",
    owner: "7-1",
    text: "nameserver 10.0.0.1\n",
    inPlace: false,
  },
  { kind: "resolvconf", record: "tun.vpn0", text: "nameserver 10.0.0.1\n" },
  { kind: "resolvectl", interfaceName: "vpn0", index: 4, servers: ["10.0.0.1"], domains: ["~."] },
];

const GOOD = CHANGES.map((change) => JSON.stringify(change));

/** Values of the wrong kind, or beyond what the right ones may be. */
const WRONG = [null, true, -1, 1.5, 2 ** 53, "", "\0", "x", [], {}, [null], { first: 1 }, NaN];
const LINES = [
  ...["", "#", "5", "null", '"rule"', "[]", "{}", "{", '{"kind":"rule"}', '{"kind":"__proto__"}'],
  ...['{"kind":"toString"}', '{"kind":5}', '{"kind":["rule"],"rule":{}}', "[".repeat(300)],
];

/** The journal of these lines; a newline ends each. */
function bytesOf(...lines: readonly string[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
}

/** A change with one of its values, however deep, replaced by a wrong one. */
function misshape(random: Random, change: HostChange): string {
  const copy: unknown = JSON.parse(JSON.stringify(change));
  let parent = copy as Record<string, unknown>;
  for (;;) {
    const name = random.pick(Object.keys(parent));
    const child = parent[name];
    const isParent = typeof child === "object" && child !== null && Object.keys(child).length > 0;
    if (!isParent || random.chance(0.3)) {
      if (random.chance(0.2)) delete parent[name];
      else parent[name] = random.pick(WRONG);
      return JSON.stringify(copy);
    }
    parent = child as Record<string, unknown>;
  }
}

function hostileEntry(random: Random): string {
  const change = random.pick(CHANGES);
  if (random.chance(0.2)) return random.pick(LINES);
  if (random.chance(0.5)) return misshape(random, change);
  // One line stays one line: a newline within makes two, neither of which is in the way of others.
  return mutateText(random, JSON.stringify(change));
}

/** What is read can be named without an error, and planned for. */
function assertUsable(changes: readonly HostChange[]): void {
  for (const change of changes) assertEquals(typeof describeChange(change), "string");
}

Deno.test("every kind of change is read as it was written, in order and with its place", () => {
  const bytes = bytesOf(OWNER, ...GOOD);
  const { owner, entries } = parseJournal(bytes)!;
  assertEquals(owner, JSON.parse(OWNER));
  assertEquals(entries.map(({ change }) => change), CHANGES);
  for (const [index, { offset }] of entries.entries()) {
    const line = GOOD[index]!;
    assertEquals(new TextDecoder().decode(bytes.subarray(offset, offset + line.length)), line);
  }
});

Deno.test("an entry of another shape, or of another version, is none, and hinders no other", () => {
  const good = GOOD[0]!;
  for (
    const line of [
      ...LINES,
      '{"kind":"rule","rule":null}',
      '{"kind":"kill-switch","server":null}',
      '{"kind":"reserved-ports","ranges":[{"first":0,"last":1e12}]}',
      '{"kind":"hook","commands":[{"command":5,"place":""}]}',
      '{"kind":"route","destination":"everywhere","table":1,"type":1}',
      '{"kind":"a-later-version\'s","path":"/"}',
    ]
  ) {
    const { entries } = parseJournal(bytesOf(OWNER, good, line, good))!;
    assertEquals(entries.map(({ change }) => change), [CHANGES[0], CHANGES[0]], line);
  }
});

Deno.test("parseJournal() reads hostile entries or leaves them out, and always the good ones", () => {
  let [read, refused] = [0, 0];
  fuzz((random) => {
    const lines = [GOOD[0]!, hostileEntry(random), GOOD[4]!, hostileEntry(random), GOOD[8]!];
    const { entries } = parseJournal(bytesOf(OWNER, ...lines))!;
    assertUsable(entries.map(({ change }) => change));
    const texts = entries.map(({ change }) => JSON.stringify(change));
    for (const index of [0, 4, 8]) assert(texts.includes(GOOD[index]!), texts.join("\n"));
    if (entries.length > 3) read++;
    else refused++;
  });
  assert(read > 0 && refused > 0, `${read} read, ${refused} refused`);
});

Deno.test("parseJournal() takes hostile bytes, and a hostile first line, without an error", () => {
  const whole = bytesOf(OWNER, GOOD[0]!, GOOD[4]!);
  let [read, refused] = [0, 0];
  fuzz((random) => {
    const bytes = random.chance(0.5)
      ? random.mutate(whole)
      : bytesOf(mutateText(random, OWNER), random.pick(GOOD));
    const journal = parseJournal(bytes);
    if (journal === null) return refused++;
    read++;
    assertEquals(typeof journal.owner.interfaceName, "string");
    assertUsable(journal.entries.map(({ change }) => change));
    return read;
  });
  assert(read > 0 && refused > 0, `${read} read, ${refused} refused`);
});

hostTest(
  "what lies among the journals and is none is waited for by nobody, and is no error",
  () => {
    const folder = temporaryFolder();
    const path = (name: string) => `${folder}/${name}.journal`;
    Deno.mkdirSync(path("folder"));
    Deno.symlinkSync("/dev/zero", path("link"));
    Deno.symlinkSync(path("loop"), path("loop"));
    Deno.writeTextFileSync(path("empty"), "");
    Deno.writeTextFileSync(path("owner"), "5\n{}\n");
    // Anyone who opened it would wait for a writer.
    new Deno.Command("mkfifo", { args: [path("fifo")] }).outputSync();
    for (const name of ["folder", "link", "loop", "empty", "owner", "fifo", "none"]) {
      assertEquals(readJournal(path(name)), [], name);
    }
    Deno.writeFileSync(path("good"), bytesOf(OWNER, "5", GOOD[0]!));
    assertEquals(readJournal(path("good"))[0]?.changes, [CHANGES[0]]);
  },
);
