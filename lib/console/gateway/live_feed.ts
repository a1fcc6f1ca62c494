/**
 * Live feed: asks the gateway once a second how things are, while anybody wants to know, and tells all of them what has
 * changed. Who does not read in time is told nothing until he does, and then everything again: what waits for him does
 * not grow.
 */
import type { EventEntry } from "../../control/application/methods.ts";
import type { Status } from "../../control/status.ts";
import { FairShares, type Place } from "../../core/limits/fair_shares.ts";
import { background, guarded } from "../../process/guard.ts";
import { type ConsoleGateway, GatewayUnreachable } from "./gateway.ts";
import { differenceOf } from "./status_difference.ts";

/** ms between two looks; and between two lines that say that the connection is still there. */
const INTERVAL = 1_000;
const SIGN_OF_LIFE = 10_000;
/** Chunks that wait for who is told. */
const WAITING = 8;
/** Who are told at once; of more, the account with most loses its oldest. */
const MAX_LISTENERS = 128;
const TEXT = new TextEncoder();
/** A comment. */
const SIGN = TEXT.encode(": live\n\n");

interface Listener {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  /** Name of the account. */
  readonly account: string;
  /** Whether it may still be told. */
  readonly isAllowed: () => boolean;
  /** Whether it has to be told everything. */
  isBehind: boolean;
  place: Place<string, Listener> | null;
}

export class LiveFeed implements Disposable {
  readonly #gateway: ConsoleGateway;
  readonly #listeners = new Set<Listener>();
  readonly #shares = new FairShares<string, Listener>({
    capacity: MAX_LISTENERS,
    evict: (listener) => this.#end(listener),
  });
  #last: Status | null = null;
  #lastChunk: Uint8Array | null = null;
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
   * Server-sent events from now on.
   *
   * @param account whose they are
   * @param isAllowed whether who asked may still know, asked before each event
   */
  open(account: string, isAllowed: () => boolean): ReadableStream<Uint8Array> {
    let listener: Listener;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        listener = { controller, account, isAllowed, isBehind: true, place: null };
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
    listener.place = this.#shares.add(listener.account, listener);
    // At once, as headers reach a browser with the first bytes.
    this.#tell(listener, SIGN);
    if (this.#timer !== undefined) {
      if (this.#last !== null) this.#catchUp(listener);
      if (this.#trouble !== null) this.#tell(listener, troubleChunk(this.#trouble));
      return;
    }
    this.#timer = setInterval(
      guarded("console", "asking the gateway", () => this.#look()),
      INTERVAL,
    );
    background("console", "asking the gateway", this.#look());
  }

  #end(listener: Listener): void {
    listener.place = null;
    listener.controller.close();
    this.#remove(listener);
  }

  #remove(listener: Listener): void {
    if (listener.place !== null) this.#shares.remove(listener.place);
    listener.place = null;
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
    this.#lastChunk = null;
    const update = difference === null ? null : eventChunk("update", difference);
    for (const listener of this.#listeners) {
      if (isFirst || listener.isBehind) this.#catchUp(listener);
      else if (update !== null) this.#tell(listener, update);
    }
    this.#quiet = update === null && !isFirst ? this.#quiet + INTERVAL : 0;
    if (this.#quiet < SIGN_OF_LIFE) return;
    this.#quiet = 0;
    this.#tellAll(SIGN);
  }

  #lose(reason: string): void {
    const isNews = this.#trouble === null;
    this.#trouble = reason;
    this.#last = null;
    this.#tellAll(isNews ? troubleChunk(reason) : SIGN);
  }

  #catchUp(listener: Listener): void {
    this.#lastChunk ??= eventChunk("status", this.#last);
    listener.isBehind = false;
    this.#tell(listener, this.#lastChunk);
  }

  #tellAll(chunk: Uint8Array): void {
    for (const listener of this.#listeners) this.#tell(listener, chunk);
  }

  /** Or marks it as one who has to be told everything later on. */
  #tell(listener: Listener, chunk: Uint8Array): void {
    if ((listener.controller.desiredSize ?? 0) <= 0) listener.isBehind = true;
    else listener.controller.enqueue(chunk);
  }

  #endForbidden(): void {
    for (const listener of this.#listeners) {
      if (listener.isAllowed()) continue;
      this.#tell(listener, eventChunk("end", { reason: "session" }));
      listener.controller.close();
      this.#remove(listener);
    }
  }

  #follow(): void {
    if (this.#following !== null || this.#listeners.size === 0) return;
    const following = this.#following = new AbortController();
    const onEvent = (event: EventEntry) => this.#tellAll(eventChunk("events", [event]));
    const followed = this.#gateway.followEvents(onEvent, following.signal).catch((error) => {
      if (!(error instanceof GatewayUnreachable)) throw error;
    }).finally(() => {
      // Begun again when the gateway answers again.
      if (this.#following === following) this.#following = null;
    });
    background("console", "following the gateway's events", followed);
  }
}

function troubleChunk(detail: string): Uint8Array {
  return eventChunk("gateway", { isReachable: false, detail });
}

/**
 * One for all who are told, however many do not read it. JSON has no line breaks, so nothing in it can end the event.
 */
function eventChunk(event: string, data: unknown): Uint8Array {
  return TEXT.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}
