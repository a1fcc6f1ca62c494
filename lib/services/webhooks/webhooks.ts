/**
 * Webhooks: tells HTTP servers of a gateway's events, each server at its own pace, in order and at least once. What has
 * been delivered is kept beside the events, so that a restart neither loses nor repeats many.
 */
import type { RecordedEvent } from "../../host/accounts/account_store.ts";
import { background, guarded } from "../../process/guard.ts";
import { type WebhookMessage, webhookMessage, type WebhookTarget } from "./webhook_request.ts";
import { createHash } from "node:crypto";

/** ms between looks at the events. */
const INTERVAL = 1_000;
/** ms until a server that did not take an event is tried again, at first and at most. */
const FIRST_PAUSE = 1_000;
const MAX_PAUSE = 300_000;
/** Part of a pause by which it may be longer, so that many gateways do not come back to a server at once. */
const JITTER = 0.3;
/** ms after which an event is of no use to anybody any more. */
const MAX_AGE = 3 * 86_400_000;

/** What of the accounts this needs. */
export interface EventSource {
  /** Events behind number `after` that are no older than `since`, Unix ms, in their order, or the first of them. */
  events(after: number, since: number): readonly RecordedEvent[];
  /** Number of the last event there is. */
  lastEvent(): number;
  /** Number of the last event that was delivered to a server; null for one that is new. */
  delivered(server: string): number | null;
  setDelivered(server: string, event: number): void;
}

export interface WebhooksOptions {
  /** The gateway's interface, which names it. */
  readonly gateway: string;
  readonly source: EventSource;
  /** @returns null where it has been taken, else why not */
  readonly post: (
    url: string,
    message: WebhookMessage,
    ended: AbortSignal,
  ) => Promise<string | null>;
  /** Unix ms. */
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Is told of a server that takes no events, with the reason, and with null that it does again. */
  readonly onChange: (url: string, problem: string | null) => void;
  /** Is told how many events have been given up. */
  readonly onLoss: (url: string, count: number) => void;
}

/** How far a server has come. */
interface Delivery {
  readonly target: WebhookTarget;
  /** By which it is known in the accounts, which keep no address: there may be a token in it. */
  readonly server: string;
  delivered: number;
  /** When it is tried next, Unix ms, after so many failures. */
  dueAt: number;
  failures: number;
  isBusy: boolean;
}

export class Webhooks implements Disposable {
  readonly #options: WebhooksOptions;
  readonly #ended = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;
  #deliveries: readonly Delivery[] = [];

  constructor(options: WebhooksOptions) {
    this.#options = options;
    this.#timer = setInterval(guarded("control", "webhooks", () => this.look()), INTERVAL);
  }

  /** Tells these from now on. One that is new hears of what happens from now on. */
  setTargets(targets: readonly WebhookTarget[]): void {
    const { source } = this.#options;
    this.#deliveries = targets.map((target) => {
      const server = createHash("sha256").update(target.url).digest("hex");
      const known = source.delivered(server);
      const delivered = known ?? source.lastEvent();
      if (known === null) source.setDelivered(server, delivered);
      return { target, server, delivered, dueAt: 0, failures: 0, isBusy: false };
    });
  }

  /** Sends what is due; called by a timer. */
  look(): void {
    const now = this.#options.now();
    for (const delivery of this.#deliveries) {
      // A clock that was set back must not make the pause longer than it may be.
      const isDue = now >= delivery.dueAt || delivery.dueAt > now + (1 + JITTER) * MAX_PAUSE;
      if (delivery.isBusy || !isDue) continue;
      delivery.isBusy = true;
      background("control", "webhooks", this.#deliver(delivery));
    }
  }

  /** What is under way is given up, and sent again at the next start. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#deliveries = [];
    this.#ended.abort();
  }

  async #deliver(delivery: Delivery): Promise<void> {
    const { source, now } = this.#options;
    try {
      const events = source.events(delivery.delivered, now() - MAX_AGE);
      for (const event of events) {
        if (!this.#deliveries.includes(delivery) || !await this.#send(delivery, event)) return;
      }
    } finally {
      delivery.isBusy = false;
    }
  }

  /** @returns whether it has been taken */
  async #send(delivery: Delivery, event: RecordedEvent): Promise<boolean> {
    const { gateway, post, now, random, onChange, onLoss, source } = this.#options;
    const { target: { url, secret }, server } = delivery;
    const message = webhookMessage(event, { gateway, secret, now: now() });
    const problem = await post(url, message, this.#ended.signal);
    if (this.#ended.signal.aborted) return false;
    if (problem !== null) {
      delivery.failures++;
      const pause = Math.min(MAX_PAUSE, FIRST_PAUSE * 2 ** (delivery.failures - 1));
      delivery.dueAt = now() + pause * (1 + JITTER * random());
      if (delivery.failures === 1) onChange(url, problem);
      return false;
    }
    if (delivery.failures > 0) onChange(url, null);
    delivery.failures = 0;
    // Numbers follow one another: what is missing between them had become too old.
    const lost = event.id - delivery.delivered - 1;
    if (lost > 0) onLoss(url, lost);
    delivery.delivered = event.id;
    source.setDelivered(server, event.id);
    return true;
  }
}
