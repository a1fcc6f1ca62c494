/** Tests of lib/core/fleet/join/join_token.ts: what is forged or damaged is refused in one line, with nothing of it. */
import {
  isJoinToken,
  type JoinToken,
  joinTokenText,
  MAX_TOKEN_LENGTH,
  readJoinToken,
} from "../../../../../lib/core/fleet/join/join_token.ts";
import { RefusalError } from "../../../../../lib/core/config/refusal_error.ts";
import { blake2sHash } from "../../../../../lib/core/noise/blake2s.ts";
import { assert, assertEquals, assertThrows } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const SEED = `SU${"A".repeat(56)}`;
const CA = `-----BEGIN CERTIFICATE-----\n${"AbC0+/".repeat(10)}\n-----END CERTIFICATE-----\n`;
const SETTINGS: JoinToken["settings"] = [
  ["PrivateKey", sampleKeys(1).privateKey],
  ["Address", "10.66.77.1/24"],
  ["Store", "tls://nats-a.example.org:4222"],
];
const TOKEN: JoinToken = { settings: SETTINGS, seed: SEED, ca: CA };

/** A token with this content, and the checksum of it. */
function forged(content: string | Uint8Array): string {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const whole = new Uint8Array([...blake2sHash(bytes).subarray(0, 6), ...bytes]);
  return `vpnfleet1_${whole.toBase64({ alphabet: "base64url", omitPadding: true })}`;
}

function refused(text: string): string {
  const { code, message } = assertThrows(() => readJoinToken(text), RefusalError);
  assertEquals(code, "invalid");
  assert(!message.includes("\n") && message.length < 200, message);
  assert(!message.includes(SEED) && !message.includes(sampleKeys(1).privateKey), message);
  return message.replace("Cannot use the token: ", "");
}

Deno.test("a token is one line, and is read as it was, also when a mail has broken it into lines", () => {
  const text = joinTokenText(TOKEN);
  assert(/^vpnfleet1_[A-Za-z0-9_-]+$/.test(text) && isJoinToken(text), text);
  assertEquals(readJoinToken(text), TOKEN);
  assertEquals(readJoinToken(` ${text.replace(/.{60}/g, "$&\r\n")}\n`), TOKEN);
  assertEquals(["-", "gateway-2.token", "./vpnfleet1.token"].map(isJoinToken), [
    ...[false, false, false],
  ]);
});

Deno.test("a token with a letter changed, lost, added or in another place is refused", () => {
  const text = joinTokenText(TOKEN);
  const start = "vpnfleet1_".length;
  // The last letter has bits that stand for nothing.
  for (let at = start; at < text.length - 1; at++) {
    const other = text[at] === "A" ? "B" : "A";
    refused(text.slice(0, at) + other + text.slice(at + 1));
    refused(text.slice(0, at) + text.slice(at + 1));
  }
  for (let end = 0; end < text.length; end += 7) refused(text.slice(0, end));
  assertEquals(refused(`${text}AAAA`), "its checksum is wrong: copy the whole of it again");
  assertEquals(refused(text + text), "its checksum is wrong: copy the whole of it again");
});

Deno.test("what is no token, of another version or too long is named", () => {
  for (const text of ["", "hello", "vpnfleet_AAAA", "VPNFLEET1_AAAA", "vpnfleet1_AA*A", "\0"]) {
    assertEquals(refused(text), "it does not begin with vpnfleet1_, as all do");
  }
  assertEquals(
    refused("vpnfleet2_AAAA"),
    "it is of version 2, and this program reads 1: update it",
  );
  assertEquals(
    refused(`vpnfleet1_${"A".repeat(MAX_TOKEN_LENGTH)}`),
    "it is longer than 65536 characters",
  );
});

Deno.test("a forged token brings no command, file, line or key of its own choice", () => {
  const tokenWith = (more: Partial<Record<keyof JoinToken, unknown>>) =>
    forged(JSON.stringify({ ...TOKEN, ...more }));
  const setting = (key: unknown, value: unknown) =>
    tokenWith({ settings: [...SETTINGS, [key, value]] });
  assertEquals(readJoinToken(setting("Egress", "off")).settings.length, 4);
  for (
    const key of [
      ...["PostUp", "postup", "PreUp", "PostDown", "PreDown", "StoreCA", "StoreCredentials"],
      ...["DnsBlock", "ControlGroup", "Metrics", "Table", "Webhook", "EgressInterface", "egress"],
    ]
  ) {
    assertEquals(
      refused(setting(key, "x")),
      `\`vpn fleet init\` has not made it (${key} is no setting of a fleet): ask for another`,
    );
  }
  for (
    const [key, value] of [
      ["Egress", "off\nPostUp = touch /tmp/x"],
      ["Egress", "off\r[Peer]"],
      ["Egress", "off # x"],
      ["Egress", "off\u0085"],
      ["Egress", "x".repeat(8 * 1024 + 1)],
      ["Egress\nPostUp", "x"],
      ["[Peer]", "x"],
      ["", "x"],
      ["Egress", 1],
      [null, "x"],
    ]
  ) {
    assertEquals(
      refused(setting(key, value)),
      "`vpn fleet init` has not made it (its settings): ask for another",
    );
  }
  for (
    const wrong of [
      { settings: {} },
      { settings: SETTINGS.slice(1) },
      { settings: [...SETTINGS, ["Egress"]] },
      { settings: Array(300).fill(["Egress", "off"]) },
      { seed: `${SEED}\nSUB` },
      { seed: SEED.toLowerCase() },
      { seed: 7 },
      { ca: "" },
      { ca: `${CA}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n` },
      { ca: CA.replace("AbC0", "A C0") },
      { ca: [CA] },
    ]
  ) refused(tokenWith(wrong));
  for (
    const content of [
      "",
      "null",
      "[]",
      "7",
      '"x"',
      "{",
      "{}",
      "[".repeat(20_000),
      '{"__proto__":{}}',
    ]
  ) refused(forged(content));
  refused(forged(new Uint8Array([0xff, 0xfe])));
});
