/** Webhook keys: who is told of events, and what the messages are signed with. */
import type { Entry } from "../text/config_document.ts";
import { ConfigError } from "../config_error.ts";
import { rejectValue } from "./values.ts";

/** Bytes of a secret, as Standard Webhooks has it. */
const [SHORTEST, LONGEST] = [24, 64];
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const LONGEST_TEXT = 88;
const MAX_URL = 2_000;
/** Where nobody can read along. */
const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];

/** `Webhook`: an address of HTTPS; of HTTP on this host alone. */
export function parseWebhook(entry: Entry): readonly string[] {
  const rule = "a webhook is an address of HTTPS, as in https://hooks.example.org/vpn";
  const url = entry.value.length <= MAX_URL && URL.canParse(entry.value)
    ? new URL(entry.value)
    : null;
  if (url === null || url.username !== "" || url.password !== "") return rejectValue(entry, rule);
  const isSafe = url.protocol === "https:" ||
    url.protocol === "http:" && LOOPBACK.includes(url.hostname);
  return isSafe ? [url.href] : rejectValue(entry, rule);
}

/** `WebhookSecret`: bytes in base64, with or without Standard Webhooks' `whsec_` before it. It is not shown. */
export function parseWebhookSecret({ value, fileName, line, key }: Entry): Uint8Array {
  const text = value.replace(/^whsec_/, "");
  const bytes = BASE64.test(text) && text.length <= LONGEST_TEXT
    ? Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
    : new Uint8Array();
  if (bytes.length >= SHORTEST && bytes.length <= LONGEST) return bytes;
  throw new ConfigError(
    `${fileName}:${line}: ${key}: cannot use this value: a secret is 24 to 64 bytes in base64, as \`vpn genpsk\` prints it`,
  );
}
