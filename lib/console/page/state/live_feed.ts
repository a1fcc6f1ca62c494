/** The live feed: server-sent events into the model, and a signal for those who show it. */
import { type ReadonlySignal, signal } from "@preact/signals";
import type { EventEntry } from "../../../control/application/methods.ts";
import type { GatewayStatus, LiveUpdate } from "./shapes.ts";
import { LiveModel, type PeerAnswer } from "./live_model.ts";

/** ms until a connection that was answered with an error is tried again. */
const RETRY = 2_000;
/** ms without news after which nothing has passed, rather than that it is not told yet. */
const QUIET = 1_800;
/** Events that are kept for the overview. */
const KEPT_EVENTS = 50;

/** How the page stands with the gateway. */
export interface FeedState {
  readonly state: "opening" | "open" | "lost" | "unreachable";
  /** What the console says of a gateway that it cannot reach. */
  readonly detail: string;
}

export const model = new LiveModel();

const ticks = signal(0);
const connection = signal<FeedState>({ state: "opening", detail: "" });
const news = signal<readonly EventEntry[]>([]);

/** Another number whenever the model has changed: what reads it is drawn again. */
export const liveTick: ReadonlySignal<number> = ticks;
export const liveConnection: ReadonlySignal<FeedState> = connection;
/** Events since the page was opened, the newest first. */
export const liveEvents: ReadonlySignal<readonly EventEntry[]> = news;

/** Shows what a change has answered of peers, before the gateway tells of it. */
export function showAnswer(peers: readonly PeerAnswer[]): void {
  model.learn(peers);
  ticks.value++;
}

/**
 * Follows the gateway until the returned function is called.
 *
 * A browser reconnects by itself when a connection breaks, but never again once it was answered with an error (HTML
 * section 9.2.3), as by a proxy whose console is starting, or by a console that counts the broken one still.
 *
 * @param onEnd called where the session has ended
 */
export function followGateway(onEnd: () => void): () => void {
  let close = () => {};
  const open = () => {
    close = followBy(new EventSource("/api/v1/live"), onEnd, () => {
      close();
      const timer = setTimeout(open, RETRY);
      close = () => clearTimeout(timer);
    });
  };
  open();
  return () => close();
}

/** Follows by one connection; `onRefused` is called where that is over for good. */
function followBy(source: EventSource, onEnd: () => void, onRefused: () => void): () => void {
  let heard = performance.now();
  const take = <Data>(name: string, handler: (data: Data) => void) => {
    source.addEventListener(name, (event) => {
      handler(JSON.parse((event as MessageEvent<string>).data) as Data);
      heard = performance.now();
      ticks.value++;
    });
  };
  const isOpen = () => {
    if (connection.peek().state !== "open") connection.value = { state: "open", detail: "" };
  };
  take<GatewayStatus>("status", (status) => {
    model.take(status);
    isOpen();
  });
  take<LiveUpdate>("update", (update) => model.update(update));
  take<readonly EventEntry[]>("events", (events) => {
    news.value = [...events.toReversed(), ...news.peek()].slice(0, KEPT_EVENTS);
  });
  take<{ isReachable: boolean; detail: string }>("gateway", ({ isReachable, detail }) => {
    if (isReachable) isOpen();
    else connection.value = { state: "unreachable", detail };
  });
  source.addEventListener("end", () => {
    source.close();
    onEnd();
  });
  source.addEventListener("error", () => {
    if (connection.peek().state === "open") connection.value = { state: "lost", detail: "" };
    if (source.readyState === EventSource.CLOSED) onRefused();
  });
  const timer = setInterval(() => {
    const silence = performance.now() - heard;
    if (silence < QUIET || connection.peek().state !== "open") return;
    heard += silence;
    model.sample(model.sampled + silence);
    ticks.value++;
  }, 1_000);
  return () => {
    clearInterval(timer);
    source.close();
  };
}
