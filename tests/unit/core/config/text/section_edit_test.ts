/** Shows what a change of its peers does to the text of a file, and what it leaves. */
import { atOnce } from "../../../../../lib/core/config/at_once.ts";
import {
  INTERFACE_SECTION,
  type KeyEdit,
  SectionEditor,
} from "../../../../../lib/core/config/text/section_edit.ts";
import { PEER_KEYS } from "../../../../../lib/core/config/values/keys.ts";
import { assertEquals, assertThrows } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const HEAD = `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\n\n`;
const KEY = `PublicKey = ${sampleKeys(2).publicKey}\n`;
const OTHER = `\n# another\n[Peer]\nPublicKey = ${sampleKeys(3).publicKey}\nRateLimit = 1M\n`;

type Edit = Omit<KeyEdit, "repeats" | "key"> & { readonly key: keyof typeof PEER_KEYS };

function withKey(text: string, { key, value }: Edit): string {
  const editor = atOnce(SectionEditor.of(text));
  const { repeats } = PEER_KEYS[key];
  editor.set({ kind: "Peer", id: sampleKeys(2).publicKey }, { key, value, repeats });
  return editor.text;
}

/** The peer's part of the file after the edit; all else must be as it was. */
function edited(section: string, edit: Edit): string {
  const text = HEAD + section + OTHER;
  const after = withKey(text, edit);
  assertEquals(after.startsWith(HEAD) && after.endsWith(OTHER), true, after);
  return after.slice(HEAD.length, after.length - OTHER.length);
}

Deno.test("set() writes a new key behind the last, as that is indented, before the comments that follow", () => {
  assertEquals(
    edited(`[Peer]\n  ${KEY}# the end\n`, { key: "RateLimit", value: "5M" }),
    `[Peer]\n  ${KEY}  RateLimit = 5M\n# the end\n`,
  );
});

Deno.test("set() changes a value, and no blank and no comment around it", () => {
  for (
    const [before, after] of [
      ["RateLimit = 1M # slow\n", "RateLimit = 5M # slow\n"],
      ["\tratelimit=1M\r\n", "\tratelimit= 5M\r\n"],
      ["RateLimit  =  1M  \n", "RateLimit  =  5M  \n"],
    ] as const
  ) {
    assertEquals(
      edited(`[Peer]\n${before}${KEY}`, { key: "RateLimit", value: "5M" }),
      `[Peer]\n${after}${KEY}`,
    );
  }
});

Deno.test("set() takes a key out wherever it stands, and leaves what was said of it", () => {
  assertEquals(
    edited(`[Peer]\nEnabled = no # ill until May\n${KEY}enabled = no\n`, {
      key: "Enabled",
      value: null,
    }),
    `[Peer]\n# ill until May\n${KEY}`,
  );
  assertEquals(edited(`[Peer]\n${KEY}`, { key: "Enabled", value: null }), `[Peer]\n${KEY}`);
});

Deno.test("set() changes the line that counts, and of networks, which add up, all lines", () => {
  const second = `[Peer]\n${KEY}`;
  assertEquals(
    edited(`[Peer]\n${KEY}RateLimit = 1M\n${second}RateLimit = 2M\n`, {
      key: "RateLimit",
      value: "5M",
    }),
    `[Peer]\n${KEY}RateLimit = 1M\n${second}RateLimit = 5M\n`,
  );
  assertEquals(
    edited(`[Peer]\n${KEY}AllowedIPs = 10.0.0.2\n${second}AllowedIPs = 10.0.0.3\n`, {
      key: "AllowedIPs",
      value: "10.0.0.4/32",
    }),
    `[Peer]\n${KEY}${second}AllowedIPs = 10.0.0.4/32\n`,
  );
});

Deno.test("set() ends a file's last line before it writes another, as the file ends lines", () => {
  const text = `[Interface]\r\nPrivateKey = ${sampleKeys(1).privateKey}\r\n[Peer]\r\n${KEY.trim()}`;
  assertEquals(
    withKey(text, { key: "Name", value: "x" }),
    `${text}\r\nName = x\r\n`,
  );
});

/** Comments everywhere, two peers, and no end of the last line. */
const UNTIDY = `${HEAD}# --- computers ---

# Ann's, the grey one
[Peer]
PublicKey = ${sampleKeys(4).publicKey}
AllowedIPs = 10.66.77.9/32
# --- phones ---

[Peer]
Name = phone
PublicKey = ${sampleKeys(5).publicKey}`;

const ADDED = [["Name", "new"], ["PublicKey", sampleKeys(6).publicKey]] as const;

function peer(byte: number): { readonly kind: "Peer"; readonly id: string } {
  return { kind: "Peer", id: sampleKeys(byte).publicKey };
}

function without(text: string, byte: number): string {
  const editor = atOnce(SectionEditor.of(text));
  editor.remove(peer(byte));
  return editor.text;
}

Deno.test("add() puts a section at the end behind an empty line, and ends lines as the file does", () => {
  const added = (text: string) => {
    const editor = atOnce(SectionEditor.of(text));
    editor.add("Peer", ADDED);
    return editor.text;
  };
  const section = `\n\n[Peer]\nName = new\nPublicKey = ${ADDED[1][1]}\n`;
  assertEquals(added(UNTIDY), UNTIDY + section);
  assertEquals(added(`${UNTIDY}\n`), UNTIDY + section);
  const dos = UNTIDY.replaceAll("\n", "\r\n");
  assertEquals(added(dos), (UNTIDY + section).replaceAll("\n", "\r\n"));
});

Deno.test("remove() takes back what add() did, whatever came between", () => {
  const before = `${UNTIDY}\n`;
  const editor = atOnce(SectionEditor.of(before));
  editor.add("Peer", ADDED);
  editor.add("Group", [["Name", "staff"]]);
  const group = "\n[Group]\nName = staff\n";
  assertEquals(without(editor.text, 6), before + group);
});

Deno.test("remove() takes the comment right above a section along, and no other", () => {
  assertEquals(without(UNTIDY, 4), UNTIDY.replace(/\n# Ann's[^]*9\/32\n/, ""));
  assertEquals(without(UNTIDY, 5), UNTIDY.replace(/\n\[Peer\]\nName = phone[^]*$/, ""));
});

Deno.test("remove() takes all sections of a peer that has several", () => {
  const more = `${UNTIDY}\n\n[peer]\nallowedips = 10.66.78.0/24\npublic key = ${
    sampleKeys(4).publicKey
  }\n`;
  assertEquals(without(more, 4), `${without(UNTIDY, 4)}\n`);
});

Deno.test("several changes of a file are made in one go, each to its own lines", () => {
  const editor = atOnce(SectionEditor.of(UNTIDY));
  editor.set(peer(4), { key: "Enabled", value: "no", repeats: false });
  editor.set(peer(4), { key: "AllowedIPs", value: "10.66.77.8/32", repeats: true });
  editor.set(peer(4), { key: "Quota", value: "1G/day", repeats: false });
  editor.remove(peer(5));
  editor.add("Peer", ADDED);
  assertEquals(
    editor.text,
    without(UNTIDY, 5).replace(
      "10.66.77.9/32\n",
      "10.66.77.8/32\nEnabled = no\nQuota = 1G/day\n",
    ) + `\n[Peer]\nName = new\nPublicKey = ${ADDED[1][1]}\n`,
  );
});

Deno.test("what is to be changed has to be there", () => {
  assertThrows(() => without(UNTIDY, 7), RangeError, "Cannot find [Peer]");
});

Deno.test("a key of [Interface] is set where it is, or stands behind the last of its last section", () => {
  const text = "[Interface]\nA = 1 # one\n[Peer]\nPublicKey = x\n[Interface]\n  B = 2\n# end\n";
  const editor = atOnce(SectionEditor.of(text));
  const set = (key: string, value: string | null) =>
    editor.set(INTERFACE_SECTION, { key, value, repeats: false });
  set("a", "3");
  set("C", "4");
  set("b", null);
  set("D", "5");
  assertEquals(
    editor.text,
    "[Interface]\nA = 3 # one\n[Peer]\nPublicKey = x\n[Interface]\n  C = 4\n# end\n"
      .replace("  C = 4\n", "  C = 4\n  D = 5\n"),
  );
});
