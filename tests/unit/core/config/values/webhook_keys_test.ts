/** Tests of the keys that say who is told of events. */
import { parseConfig } from "../../../../../lib/core/config/parse_config.ts";
import { ConfigError } from "../../../../../lib/core/config/config_error.ts";
import { assertEquals, assertThrows } from "../../../../support/assert.ts";
import { sampleKeys } from "../../../../support/config/sample_keys.ts";

const SECRETS: readonly (readonly [string, number])[] = [
  [`whsec_${"A".repeat(32)}`, 24],
  [`${"A".repeat(43)}=`, 32],
  [`${"A".repeat(86)}==`, 64],
];

function parse(...lines: string[]) {
  const text = ["[Interface]", `PrivateKey = ${sampleKeys(1).privateKey}`, ...lines].join("\n");
  return parseConfig(text, "s.conf").interface;
}

Deno.test("Webhook may be given more than once, each address counts once, and HTTP stays on the host", () => {
  assertEquals(
    parse(
      "Webhook = https://A.example/x?y",
      "Webhook = http://127.0.0.1:8080",
      "Webhook = http://[::1]/",
      "Webhook = https://a.example/x?y",
    ).webhooks,
    ["https://a.example/x?y", "http://127.0.0.1:8080/", "http://[::1]/"],
  );
});

Deno.test("WebhookSecret is 24 to 64 bytes in base64, as other programs write it, too", () => {
  for (const [text, size] of SECRETS) {
    assertEquals(parse(`WebhookSecret = ${text}`).webhookSecret, new Uint8Array(size));
  }
});

Deno.test("a WebhookSecret that is none is refused, and not shown", () => {
  for (
    const text of [
      "",
      "secret",
      "A".repeat(28),
      `${"A".repeat(88)}`,
      "A".repeat(43),
      "-".repeat(44),
    ]
  ) {
    const error = assertThrows(() => parse(`WebhookSecret = ${text}`), ConfigError);
    assertEquals(
      error.message,
      "s.conf:3: WebhookSecret: cannot use this value: " +
        "a secret is 24 to 64 bytes in base64, as `vpn genpsk` prints it",
    );
  }
});
