/** Webhooks of a gateway: opens its accounts for them, and says what becomes of their servers. */
import type { ServerConfig } from "../../core/config/config.ts";
import { AccountStore } from "../../host/accounts/account_store.ts";
import type { Logger } from "../../process/logging.ts";
import { postWebhook } from "../../services/webhooks/webhook_request.ts";
import { Webhooks } from "../../services/webhooks/webhooks.ts";

export class GatewayWebhooks implements Disposable {
  readonly #webhooks: Webhooks;
  readonly #resources: DisposableStack;

  private constructor(webhooks: Webhooks, resources: DisposableStack) {
    this.#webhooks = webhooks;
    this.#resources = resources;
  }

  /** @returns null where the accounts, which have the events, cannot be used: that has been said by then */
  static async start(
    { path, gateway, logger }: {
      readonly path: string;
      readonly gateway: string;
      readonly logger: Logger;
    },
  ): Promise<GatewayWebhooks | null> {
    using opened = new DisposableStack();
    try {
      const source = opened.use(await AccountStore.open(path));
      const webhooks = opened.use(
        new Webhooks({
          gateway,
          source,
          post: postWebhook,
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
      return new GatewayWebhooks(webhooks, opened.move());
    } catch {
      return null;
    }
  }

  /** Tells the servers of this configuration from now on. */
  follow({ webhooks, webhookSecret }: ServerConfig["interface"]): void {
    const secret = webhookSecret;
    this.#webhooks.setTargets(secret === null ? [] : webhooks.map((url) => ({ url, secret })));
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
