/** Which commands set the private key of an interface, and from where. */
import { keySource } from "../../../../../lib/core/config/values/key_command.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("keySource() finds where a command takes the key of its interface from", () => {
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
    assertEquals(keySource(command, "wg0"), { script, isAll }, command);
  }
});

Deno.test("keySource() finds none where the key is another's, or not where it can be told from", () => {
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
    assertEquals(keySource(command, "wg0"), null, command.slice(0, 99));
  }
});
