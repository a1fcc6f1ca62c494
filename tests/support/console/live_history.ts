/** Live history: what a page has seen of a made-up gateway in minutes, told to it as fast as it reads. */
import type { Page } from "playwright-core";
import { differenceOf } from "../../../lib/console/gateway/status_difference.ts";
import type { BusyGateway } from "./busy_gateway.ts";

/** ms until a page whose stream has ended asks for the next one, which is the console's own. */
const RETRY = 20;

/** A gateway's clock, which may be behind the one on the wall. */
export class LateClock {
  #late = 0;

  /** Unix ms. */
  readonly now = (): number => Date.now() - this.#late;

  /** Sets it so many seconds behind. */
  setBack(seconds: number): void {
    this.#late = seconds * 1_000;
  }

  /** Lets a second pass. */
  tick(): void {
    this.#late -= 1_000;
  }
}

/**
 * Has a page that is opened next be told of the last so many seconds first: the updates that it would have been sent by
 * the console, one for each second of the gateway's clock, in one piece.
 */
export async function tellHistory(
  page: Page,
  { gateway, clock, seconds }: {
    readonly gateway: BusyGateway;
    readonly clock: LateClock;
    readonly seconds: number;
  },
): Promise<void> {
  clock.setBack(seconds);
  let last = await gateway.ask("status", {});
  let body = `retry: ${RETRY}\n\n${eventText("status", last)}`;
  for (let second = 0; second < seconds; second++) {
    clock.tick();
    const next = await gateway.ask("status", {});
    body += eventText("update", differenceOf(last, next));
    last = next;
  }
  await page.route(
    "**/api/v1/live",
    (route) => route.fulfill({ contentType: "text/event-stream", body }),
    { times: 1 },
  );
}

function eventText(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
