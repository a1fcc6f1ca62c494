/**
 * Webhook request: an event as an HTTP server is told of it, in the form of Standard Webhooks 1.0, so that libraries of
 * the receiver's check it: the signature is an HMAC-SHA256 over id, time and body.
 */
import type { RecordedEvent } from "../../host/accounts/account_store.ts";
import { systemCertificates } from "../../host/files/system_certificates.ts";
import { createHmac } from "node:crypto";

/** ms that a server may take for its answer. */
const TIMEOUT = 10_000;

/** A server that is told of events. */
export interface WebhookTarget {
  readonly url: string;
  /** Key of the signature. */
  readonly secret: Uint8Array;
}

export interface WebhookMessage {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The headers that prove who sent a body, and when (Unix s). */
export function signatureHeaders(
  body: string,
  { id, time, secret }: { readonly id: string; readonly time: number; readonly secret: Uint8Array },
): Readonly<Record<string, string>> {
  const signature = createHmac("sha256", secret).update(`${id}.${time}.${body}`).digest("base64");
  return {
    "webhook-id": id,
    "webhook-timestamp": `${time}`,
    "webhook-signature": `v1,${signature}`,
  };
}

/**
 * @param gateway its interface
 * @param now Unix ms
 */
export function webhookMessage(
  { id, time, kind, peer, name, detail }: RecordedEvent,
  { gateway, secret, now }: {
    readonly gateway: string;
    readonly secret: Uint8Array;
    readonly now: number;
  },
): WebhookMessage {
  const body = JSON.stringify({
    type: `${peer === null ? "gateway" : "peer"}.${kind.replaceAll("-", "_")}`,
    timestamp: new Date(time).toISOString(),
    data: { gateway, name, publicKey: peer, detail },
  });
  // The same each time that it is sent: by it, the receiver knows an event that comes twice.
  const message = { id: `${gateway}-${time}-${id}`, time: Math.floor(now / 1000), secret };
  return {
    body,
    headers: { "content-type": "application/json", ...signatureHeaders(body, message) },
  };
}

/** By which messages are sent: the authorities that the host trusts now, and connections that are kept. */
export function openWebhookClient(): Deno.HttpClient {
  const certificates = systemCertificates();
  return Deno.createHttpClient(certificates === "" ? {} : { caCerts: [certificates] });
}

/**
 * Sends a message. A redirection is not followed: the server there has not been configured.
 *
 * @returns null where it has been taken, else why not
 */
export async function postWebhook(
  url: string,
  { body, headers }: WebhookMessage,
  { client, ended }: { readonly client: Deno.HttpClient; readonly ended: AbortSignal },
): Promise<string | null> {
  try {
    const response = await fetch(url, {
      method: "POST",
      body,
      headers,
      redirect: "manual",
      client,
      signal: AbortSignal.any([ended, AbortSignal.timeout(TIMEOUT)]),
    });
    await response.body?.cancel();
    return response.ok ? null : `it answers ${response.status}`;
  } catch (error) {
    return reasonOf(error);
  }
}

/** The cause, where there is one: the error itself is "fetch failed" whatever it was. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : reasonOf(error.cause);
}
