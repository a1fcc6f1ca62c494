/** Webhooks of a gateway: opens its accounts for them, and says what becomes of their servers. */
import type { ServerConfig } from "../../core/config/config.ts";
import { AccountStore } from "../../host/accounts/account_store.ts";
import type { Logger } from "../../process/logging.ts";
import { openWebhookClient, postWebhook } from "../../services/webhooks/webhook_request.ts";
import { Webhooks } from "../../services/webhooks/webhooks.ts";

export interface GatewayWebhooksOptions {
  /** Of the accounts, which have the events. */
  readonly path: string;
  /** Its interface. */
  readonly gateway: string;
  readonly logger: Logger;
}

export class GatewayWebhooks implements Disposable {
  readonly #options: GatewayWebhooksOptions;
  readonly #resources = new DisposableStack();
  #webhooks: Webhooks | null = null;

  constructor(options: GatewayWebhooksOptions) {
    this.#options = options;
  }

  /** Tells the servers of this configuration from now on. The accounts are opened for the first of them. */
  async follow({ webhooks, webhookSecret: secret }: ServerConfig["interface"]): Promise<void> {
    const targets = secret === null ? [] : webhooks.map((url) => ({ url, secret }));
    if (targets.length > 0) this.#webhooks ??= await this.#open();
    this.#webhooks?.setTargets(targets);
  }

  /** @returns null where the accounts cannot be used: that has been said by then; and after the end */
  async #open(): Promise<Webhooks | null> {
    const { path, gateway, logger } = this.#options;
    using opened = new DisposableStack();
    try {
      const source = opened.use(await AccountStore.open(path));
      if (this.#resources.disposed) return null;
      const client = opened.use(openWebhookClient());
      const webhooks = opened.use(
        new Webhooks({
          gateway,
          source,
          post: (url, message, ended) => postWebhook(url, message, { client, ended }),
          now: Date.now,
          random: Math.random,
          onChange: (url, problem) => tellOfServer(logger, url, problem),
          onLoss: (url, count) =>
            logger.warn("{count} events are too old to be sent to {server}, and were given up", {
              count,
              server: new URL(url).host,
            }),
        }),
      );
      this.#resources.use(opened.move());
      return webhooks;
    } catch {
      return null;
    }
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

/** Of an address only the host is shown: the rest may be a password. */
function tellOfServer(logger: Logger, url: string, problem: string | null): void {
  const server = new URL(url).host;
  if (problem === null) logger.info("the webhook at {server} takes events again", { server });
  else {
    logger.warn(
      "the webhook at {server} takes no events: {problem}: it is tried again, for 3 days",
      {
        server,
        problem: problem.replaceAll(url, server),
      },
    );
  }
}
