/** Which commands set the keys of an interface and its peers, and from where. */
import { type KeySource, keySources } from "../../../../../lib/core/config/values/key_command.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("keySources() finds where a command takes the key of its interface from", () => {
  const cases: [command: string, script: string, isAll: boolean][] = [
    ["wg set wg0 private-key /etc/wireguard/wg0.key", "cat -- /etc/wireguard/wg0.key", true],
    ["wg set wg0 private-key <(pass show vpn/wg0)", "cat -- <(pass show vpn/wg0)", true],
    [
      "/usr/bin/wg set 'wg0' private-key <(pass WireGuard/private-keys/wg0);",
      "cat -- <(pass WireGuard/private-keys/wg0)",
      true,
    ],
    ['wg set "wg0" private-key "/a b/key"', 'cat -- "/a b/key"', true],
    ["wg set wg0 private-key <(f $(g ')' h)) && true", "cat -- <(f $(g ')' h))", false],
    ["ip rule add x; wg set wg0 private-key /k", "cat -- /k", false],
    ["wg set wg0 listen-port 5 private-key /k", "cat -- /k", false],
    ["wg set wg0 private-key /k peer abc= allowed-ips 10.0.0.0/8", "cat -- /k", false],
    ["pass show wg0 | wg set wg0 private-key /dev/stdin", "pass show wg0 ", true],
    ["gpg -d k | head -1 | wg set wg0 private-key /dev/stdin", "gpg -d k | head -1 ", true],
  ];
  for (const [command, script, isAll] of cases) {
    assertEquals(keySources(command, "wg0"), [{ peer: null, script, isAll }], command);
  }
});

Deno.test("keySources() finds where a command takes the preshared keys of peers from", () => {
  const [one, other] = [sampleKeys(1).publicKey, sampleKeys(2).publicKey];
  const cases: [command: string, found: KeySource[]][] = [
    [`wg set wg0 peer ${one} preshared-key /k`, [
      { peer: one, script: "cat -- /k", isAll: true },
    ]],
    [`wg set wg0 peer '${one}' preshared-key <(pass show psk)`, [
      { peer: one, script: "cat -- <(pass show psk)", isAll: true },
    ]],
    [`pass show psk | wg set wg0 peer ${one} preshared-key /dev/stdin`, [
      { peer: one, script: "pass show psk ", isAll: true },
    ]],
    [`wg set wg0 private-key /k peer ${one} preshared-key /a peer ${other} preshared-key /b`, [
      { peer: null, script: "cat -- /k", isAll: true },
      { peer: one, script: "cat -- /a", isAll: true },
      { peer: other, script: "cat -- /b", isAll: true },
    ]],
    [`wg set wg0 peer ${one} allowed-ips 10.0.0.0/8 preshared-key /a`, [
      { peer: one, script: "cat -- /a", isAll: false },
    ]],
    [`wg set wg0 peer ${other} remove peer ${one} preshared-key /a`, [
      { peer: one, script: "cat -- /a", isAll: false },
    ]],
    [`wg set wg0 peer ${one} preshared-key /a; wg set wg0 peer ${other} preshared-key /b`, [
      { peer: one, script: "cat -- /a", isAll: false },
      { peer: other, script: "cat -- /b", isAll: false },
    ]],
    [`wg set wg0 peer "$(wg show wg0 peers)" preshared-key /a`, []],
    [`wg set wg0 peer ${one} preshared-key`, []],
    [`wg set wg1 peer ${one} preshared-key /a`, []],
  ];
  for (const [command, found] of cases) {
    assertEquals(keySources(command, "wg0"), found, command);
  }
});

Deno.test("keySources() finds none where the key is another's, or not where it can be told from", () => {
  const commands = [
    "",
    "iptables -A FORWARD -i wg0 -j ACCEPT",
    "wg set wg1 private-key /k",
    "wg set wg00 private-key /k",
    "wg set wg0 peer abc= preshared-key /k",
    "wg set wg0 private-key",
    "wg set wg0 private-key <(pass show",
    "wg set wg0 private-key /dev/stdin",
    "true && pass | wg set wg0 private-key /dev/stdin",
    "echo wg show wg0 private-key",
    // Too long to look through.
    `${"wg set wg0 ".repeat(100_000)}private-key /k`,
  ];
  for (const command of commands) {
    assertEquals(keySources(command, "wg0"), [], command.slice(0, 99));
  }
});
