/** Shows what changing a key of a peer does to the text of a file, and what it leaves. */
import { parseConfig } from "../../../../../lib/core/config/parse_config.ts";
import { type PeerKeyEdit, withPeerKey } from "../../../../../lib/core/config/text/peer_edit.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const HEAD = `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\n\n`;
const KEY = `PublicKey = ${sampleKeys(2).publicKey}\n`;
const OTHER = `\n# another\n[Peer]\nPublicKey = ${sampleKeys(3).publicKey}\nRateLimit = 1M\n`;

/** The peer's part of the file after the edit; all else must be as it was. */
function edited(section: string, edit: PeerKeyEdit): string {
  const text = HEAD + section + OTHER;
  const [peer] = parseConfig(text, "a.conf").peers;
  const after = withPeerKey(text, peer!, edit);
  assertEquals(after.startsWith(HEAD) && after.endsWith(OTHER), true, after);
  return after.slice(HEAD.length, after.length - OTHER.length);
}

Deno.test("withPeerKey() writes a new key behind the last, as that is indented, before the comments that follow", () => {
  assertEquals(
    edited(`[Peer]\n  ${KEY}# the end\n`, { key: "RateLimit", value: "5M" }),
    `[Peer]\n  ${KEY}  RateLimit = 5M\n# the end\n`,
  );
});

Deno.test("withPeerKey() changes a value, and no blank and no comment around it", () => {
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

Deno.test("withPeerKey() takes a key out wherever it stands, and leaves what was said of it", () => {
  assertEquals(
    edited(`[Peer]\nEnabled = no # ill until May\n${KEY}enabled = no\n`, {
      key: "Enabled",
      value: null,
    }),
    `[Peer]\n# ill until May\n${KEY}`,
  );
  assertEquals(edited(`[Peer]\n${KEY}`, { key: "Enabled", value: null }), `[Peer]\n${KEY}`);
});

Deno.test("withPeerKey() changes the line that counts, and of networks, which add up, all lines", () => {
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

Deno.test("withPeerKey() ends a file's last line before it writes another, as the file ends lines", () => {
  const text = `[Interface]\r\nPrivateKey = ${sampleKeys(1).privateKey}\r\n[Peer]\r\n${KEY.trim()}`;
  const [peer] = parseConfig(text, "a.conf").peers;
  assertEquals(
    withPeerKey(text, peer!, { key: "Name", value: "x" }),
    `${text}\r\nName = x\r\n`,
  );
});
