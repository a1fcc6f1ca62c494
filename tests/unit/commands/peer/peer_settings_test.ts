/** Shows which line of the file each change of a client comes to, and which values are refused. */
import type { PeerUpdate } from "../../../../lib/cli/command.ts";
import { AppError } from "../../../../lib/process/errors.ts";
import {
  PEER_KEYS,
  PEER_SETTING_KEYS,
  type PeerSettingName,
} from "../../../../lib/core/config/values/keys.ts";
import { settingChange } from "../../../../lib/commands/peer/peer_settings.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";

const NOW = Date.UTC(2026, 10, 28, 12);

async function lineOf(request: PeerUpdate): Promise<string> {
  const { edit: { key, value } } = await settingChange(request, NOW);
  return value === null ? `no ${key}` : `${key} = ${value}`;
}

const set = (key: PeerSettingName, value: string): PeerUpdate => ({
  action: "set",
  name: "x",
  key,
  value,
});

Deno.test("vpn peer set takes all keys of [Peer] but those that a peer is known by, or is to be", () => {
  const known = ["PublicKey", "NextPublicKey", "NextPresharedKey"];
  assertEquals([...known, ...PEER_SETTING_KEYS].sort(), Object.keys(PEER_KEYS).sort());
});

Deno.test("settingChange() says each change as a line of the file", async () => {
  const after = { kind: "after", period: 30 * 86_400_000 } as const;
  for (
    const [request, line] of [
      [{ action: "enable", name: "x" }, "no Enabled"],
      [{ action: "disable", name: "x" }, "Enabled = no"],
      [{ action: "expire", name: "x", expiry: after }, "Expires = 2026-12-28T12:00:00Z"],
      [{ action: "expire", name: "x", expiry: { kind: "never" } }, "no Expires"],
      [{ action: "rename", name: "x", newName: "y" }, "Name = y"],
      [set("Name", "a  b"), "Name = a b"],
      [set("AllowedIPs", "10.66.77.9 10.1.2.3/16"), "AllowedIPs = 10.66.77.9/32, 10.1.0.0/16"],
      [set("Groups", "staff  night-shift"), "Groups = staff, night-shift"],
      [set("Groups", "none"), "no Groups"],
      [set("RateLimit", "10M"), "RateLimit = 10M"],
      [set("RateLimit", "None"), "no RateLimit"],
      [set("Expires", "30d"), "Expires = 2026-12-28T12:00:00Z"],
      [set("Expires", "never"), "no Expires"],
      [set("Endpoint", "vpn.example.org:7"), "Endpoint = vpn.example.org:7"],
      [set("PersistentKeepalive", "25"), "PersistentKeepalive = 25"],
      [set("Enabled", "no"), "Enabled = no"],
      [set("PresharedKey", "none"), "no PresharedKey"],
    ] as const
  ) {
    assertEquals(await lineOf(request), line);
  }
});

Deno.test("settingChange() refuses what the key does not take, further lines and comments", async () => {
  for (
    const [key, value, problem] of [
      ["RateLimit", "fast", 'RateLimit: cannot use "fast": a rate is'],
      ["Enabled", "maybe", "Enabled: cannot use"],
      ["AllowedIPs", "10.0.0.0/33", "AllowedIPs: cannot use"],
      ["AllowedIPs", "", 'AllowedIPs: give networks, or "none"'],
      ["Name", "a\nPublicKey = x", "Name: a value is one line"],
      ["RateLimit", "1M # slow", "RateLimit: a value is one line"],
      ["Expires", "soon", 'Expires: cannot use "soon": give "never"'],
    ] as const
  ) {
    await assertRejects(() => settingChange(set(key, value), NOW), AppError, problem);
  }
});

Deno.test("settingChange() takes no secret from the command line, and shows none", async () => {
  const secret = sampleKeys(4).privateKey;
  const { message } = await assertRejects(
    () => settingChange(set("PresharedKey", secret), NOW),
    AppError,
    "other users can see what stands in a command",
  );
  assert(!message.includes(secret));
});
