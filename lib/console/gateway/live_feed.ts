/**
 * Live feed: asks the gateway once a second how things are, while anybody wants to know, and tells all of them what has
 * changed. Who does not read in time is told nothing until he does, and then everything again: what waits for him does
 * not grow.
 */
import type { EventEntry } from "../../control/application/methods.ts";
import type { Status } from "../../control/status.ts";
import { background, guarded } from "../../process/guard.ts";
import { type ConsoleGateway, GatewayUnreachable } from "./gateway.ts";
import { differenceOf } from "./status_difference.ts";

/** ms between two looks; and between two lines that say that the connection is still there. */
const INTERVAL = 1_000;
const SIGN_OF_LIFE = 10_000;
/** Chunks that wait for who is told. */
const WAITING = 8;
/** Who are told at once. */
const MAX_LISTENERS = 128;
const TEXT = new TextEncoder();

interface Listener {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  /** Whether it may still be told. */
  readonly isAllowed: () => boolean;
  /** Whether it has to be told everything. */
  isBehind: boolean;
}

export class LiveFeed implements Disposable {
  readonly #gateway: ConsoleGateway;
  readonly #listeners = new Set<Listener>();
  #last: Status | null = null;
  #lastText = "";
  /** Why the gateway cannot be asked; null while it can. */
  #trouble: string | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #isAsking = false;
  #quiet = 0;
  #following: AbortController | null = null;

  constructor(gateway: ConsoleGateway) {
    this.#gateway = gateway;
  }

  /** How many are told. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /**
   * Server-sent events from now on; null where too many want them.
   *
   * @param isAllowed whether who asked may still know, asked before each event
   */
  open(isAllowed: () => boolean): ReadableStream<Uint8Array> | null {
    if (this.#listeners.size >= MAX_LISTENERS) return null;
    let listener: Listener;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        listener = { controller, isAllowed, isBehind: true };
        this.#add(listener);
      },
      cancel: () => this.#remove(listener),
    }, { highWaterMark: WAITING });
  }

  /** Ends all streams. */
  [Symbol.dispose](): void {
    for (const { controller } of this.#listeners) controller.close();
    this.#listeners.clear();
    this.#rest();
  }

  #add(listener: Listener): void {
    this.#listeners.add(listener);
    // At once, as headers reach a browser with the first bytes.
    this.#tell(listener, ": live\n\n");
    if (this.#timer !== undefined) {
      if (this.#last !== null) this.#catchUp(listener);
      if (this.#trouble !== null) this.#tell(listener, troubleText(this.#trouble));
      return;
    }
    this.#timer = setInterval(
      guarded("console", "asking the gateway", () => this.#look()),
      INTERVAL,
    );
    background("console", "asking the gateway", this.#look());
  }

  #remove(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size === 0) this.#rest();
  }

  /** Nobody wants to know. */
  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#last = null;
    this.#trouble = null;
    this.#following?.abort();
    this.#following = null;
  }

  async #look(): Promise<void> {
    this.#endForbidden();
    // A gateway that is slow is not asked again meanwhile.
    if (this.#isAsking || this.#listeners.size === 0) return;
    this.#isAsking = true;
    try {
      this.#take(await this.#gateway.ask("status", {}));
      this.#follow();
    } catch (error) {
      if (!(error instanceof GatewayUnreachable)) throw error;
      this.#lose(error.message);
    } finally {
      this.#isAsking = false;
    }
  }

  #take(status: Status): void {
    if (this.#listeners.size === 0) return;
    if (this.#trouble !== null) {
      this.#trouble = null;
      this.#last = null;
    }
    const difference = this.#last === null ? null : differenceOf(this.#last, status);
    const isFirst = this.#last === null;
    this.#last = status;
    this.#lastText = "";
    const update = difference === null ? null : eventText("update", difference);
    for (const listener of this.#listeners) {
      if (isFirst || listener.isBehind) this.#catchUp(listener);
      else if (update !== null) this.#tell(listener, update);
    }
    this.#quiet = update === null && !isFirst ? this.#quiet + INTERVAL : 0;
    if (this.#quiet < SIGN_OF_LIFE) return;
    this.#quiet = 0;
    this.#tellAll(": live\n\n");
  }

  #lose(reason: string): void {
    const isNews = this.#trouble === null;
    this.#trouble = reason;
    this.#last = null;
    this.#tellAll(isNews ? troubleText(reason) : ": live\n\n");
  }

  #catchUp(listener: Listener): void {
    if (this.#lastText === "") this.#lastText = eventText("status", this.#last);
    listener.isBehind = false;
    this.#tell(listener, this.#lastText);
  }

  #tellAll(text: string): void {
    for (const listener of this.#listeners) this.#tell(listener, text);
  }

  /** Or marks it as one who has to be told everything later on. */
  #tell(listener: Listener, text: string): void {
    if ((listener.controller.desiredSize ?? 0) <= 0) listener.isBehind = true;
    else listener.controller.enqueue(TEXT.encode(text));
  }

  #endForbidden(): void {
    for (const listener of this.#listeners) {
      if (listener.isAllowed()) continue;
      this.#tell(listener, eventText("end", { reason: "session" }));
      listener.controller.close();
      this.#remove(listener);
    }
  }

  #follow(): void {
    if (this.#following !== null || this.#listeners.size === 0) return;
    const following = this.#following = new AbortController();
    const onEvent = (event: EventEntry) => this.#tellAll(eventText("events", [event]));
    const followed = this.#gateway.followEvents(onEvent, following.signal).catch((error) => {
      if (!(error instanceof GatewayUnreachable)) throw error;
    }).finally(() => {
      // Begun again when the gateway answers again.
      if (this.#following === following) this.#following = null;
    });
    background("console", "following the gateway's events", followed);
  }
}

function troubleText(detail: string): string {
  return eventText("gateway", { isReachable: false, detail });
}

/** JSON has no line breaks, so nothing in it can end the event. */
function eventText(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
