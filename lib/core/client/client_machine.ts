/**
 * Client machine: the life of a client's connection as a state machine without clock, timers or I/O. Events and the
 * time go in, actions come out; the caller performs them in order and answers those that ask for an answer.
 *
 * idle -> [looking-up ->] preparing -> trying -> up, and after a loss looking-up -> preparing -> trying -> pausing
 * and so on until it is up again. Each state in which it connects ends by an answer to an action or at a time: that
 * is why a client is never stuck. An attempt tries each endpoint of the server, for `ConnectTimeout`: each transport
 * with each address that the endpoint has. Only when none of them has answered has the server not.
 */
import type { SocketAddress } from "../wire/socket_address.ts";
import type { ClientAction, ClientMessage, ServerRoute } from "./client_action.ts";
import type { ClientEvent, ClientSettings } from "./client_event.ts";
import { type Attempt, type ClientState, dependsOn, type Purpose } from "./client_state.ts";
import { ServerPathWatch } from "./server_path_watch.ts";
import { reconnectPause } from "./reconnect_pause.ts";
import { isSameEnd, type ServerPlace, ServerPlaces } from "./server_places.ts";
import { TransportChoice } from "./transport_choice.ts";

/** ms between initiations while connecting: three fit the default time-out of 2.5 s, jitter included. */
const CONNECT_INTERVAL = 700;

export interface ClientMachineOptions {
  /** Where the server may be, in the order of preference; at least one. */
  readonly places: readonly ServerPlace[];
  readonly transport: "udp" | "faketcp" | "auto";
  readonly settings: ClientSettings;
  /** A number from 0 to 1, drawn at random, so that many clients do not come at once. */
  readonly random: () => number;
}

export class ClientMachine {
  readonly #random: () => number;
  readonly #transports: TransportChoice;
  readonly #path = new ServerPathWatch();
  #places: ServerPlaces;
  #settings: ClientSettings;
  #state: ClientState = { kind: "idle" };
  #purpose: Purpose = "first";
  #isHostReady = false;
  /** Whether the server has authenticated itself before the start. */
  #isUpEarly = false;
  /** When the server was lost. */
  #lostAt = 0;
  /** Attempts since then. */
  #attempts = 0;
  #lastId = 0;
  #actions: ClientAction[] = [];

  constructor({ places, transport, settings, random }: ClientMachineOptions) {
    this.#places = new ServerPlaces(places);
    this.#transports = new TransportChoice(transport);
    this.#settings = settings;
    this.#random = random;
  }

  /** By which the server is, or is looked for. */
  get route(): ServerRoute {
    const { address, port } = this.#places.current;
    return { address, port, transport: this.#transports.current };
  }

  /** Of the endpoint that is in use, among those of the configuration. */
  get rank(): number {
    return this.#places.current.rank;
  }

  /** All that are tried. */
  get places(): readonly ServerPlace[] {
    return this.#places.all;
  }

  /** When `time` is to be told; `Infinity` for never. */
  get dueAt(): number {
    if (this.#state.kind === "ended") return Infinity;
    const until = "until" in this.#state ? this.#state.until : Infinity;
    return Math.min(until, this.#path.readAt, this.#transports.trialAt);
  }

  /**
   * Takes an event in.
   *
   * @param now monotonic time in ms
   * @returns what is to be done, in this order
   */
  take(event: ClientEvent, now: number): readonly ClientAction[] {
    if (this.#state.kind === "ended") return [];
    this.#actions = [];
    switch (event.kind) {
      case "start":
        if (this.#state.kind === "idle") this.#start(event.lookUpFirst, now);
        break;
      case "host-ready":
        this.#isHostReady = true;
        if (this.#state.kind === "lost-early") this.#reconnect(now);
        break;
      case "peer-up":
        if (event.from !== null) this.#places.answered(event.from);
        this.#up(now);
        break;
      case "peer-down":
        // While the client connects, a silent server is no loss: the next route may reach it.
        this.#isUpEarly = false;
        if (this.#state.kind === "up") this.#lose(now);
        break;
      case "udp-works":
        this.#returnToUdp();
        break;
      case "network-changed":
        if (this.#state.kind !== "idle") this.#path.networkChanged(now);
        break;
      case "path-read":
        this.#comparePath(event);
        break;
      case "woke":
        this.#wake();
        break;
      case "looked-up":
        this.#lookedUp(event, now);
        break;
      case "transport-ready":
        this.#transportReady(event, now);
        break;
      case "action-failed":
        this.#actionFailed(event, now);
        break;
      case "reconfigured":
        this.#settings = event.settings;
        break;
      case "server-moved":
        this.#move(event, now);
        break;
      case "stop":
        this.#state = { kind: "ended" };
        break;
      case "time":
        this.#timePassed(now);
        break;
    }
    return this.#actions;
  }

  // Connecting: look-up, attempt, one endpoint and one route after the other, pause.

  #start(lookUpFirst: boolean, now: number): void {
    this.#act({ kind: "read-path", address: this.#places.current.address });
    if (lookUpFirst && !this.#isUpEarly) return this.#lookUp();
    this.#attempt(now);
    if (this.#isUpEarly) this.#up(now);
  }

  #lookUp(): void {
    const id = ++this.#lastId;
    this.#state = { kind: "looking-up", id };
    this.#act({ kind: "look-up", id });
  }

  #lookedUp({ id, places }: Extract<ClientEvent, { kind: "looked-up" }>, now: number): void {
    // Meanwhile the server may have answered, or the configuration may have named another one.
    if (this.#state.kind !== "looking-up" || this.#state.id !== id) return;
    this.#places.lookedUp(places);
    this.#attempt(now);
  }

  #attempt(now: number): void {
    const endpoints = this.#places.byEndpoint.map((places) =>
      this.#transports.order.flatMap((transport) =>
        places.map(({ address, port }): ServerRoute => ({ address, port, transport }))
      )
    );
    // At the start the data plane has the first place already.
    if (this.#purpose !== "first") this.#setEndpoint(endpoints[0]![0]!);
    this.#tryEndpoint(endpoints, now);
  }

  #tryEndpoint(
    [routes, ...further]: readonly (readonly ServerRoute[])[],
    now: number,
  ): void {
    const deadline = now + this.#settings.connectTimeout;
    this.#try({ routes: routes!, deadline, further, index: 0 }, now);
  }

  #try(attempt: Attempt, now: number): void {
    const { routes, deadline, index } = attempt;
    const next = routes[index]!;
    if (!isSameEnd(next, this.#places.current)) this.#setEndpoint(next);
    const id = ++this.#lastId;
    const time = Math.max(0, deadline - now) / (routes.length - index);
    this.#state = { kind: "preparing", id, attempt, time };
    this.#act({ kind: "use-transport", id, ...next });
  }

  #transportReady(
    { id, transport }: Extract<ClientEvent, { kind: "transport-ready" }>,
    now: number,
  ): void {
    this.#transports.current = transport;
    if (this.#state.kind !== "preparing" || this.#state.id !== id) {
      // The server has answered meanwhile, or UDP is used again: a handshake moves the session to this transport.
      if (this.#state.kind === "up") this.#transports.planTrial(now);
      return this.#act({ kind: "re-handshake" });
    }
    const { attempt, time } = this.#state;
    this.#act({ kind: "initiate", interval: CONNECT_INTERVAL });
    this.#state = { kind: "trying", attempt, until: now + time };
  }

  #noAnswer(attempt: Attempt, now: number): void {
    const { routes, further } = attempt;
    const index = attempt.index + 1;
    const next = routes[index] ?? further[0]?.[0];
    if (next !== undefined) {
      const hasSeveral = this.#places.all.length > 1;
      this.#say({ about: "no-answer", last: routes[attempt.index]!, next, hasSeveral });
      if (index < routes.length) return this.#try({ ...attempt, index }, now);
      return this.#tryEndpoint(further, now);
    }
    this.#act({ kind: "stop-repeating" });
    if (this.#purpose === "first") return this.#end({ kind: "no-answer" });
    if (this.#purpose === "again") {
      if (this.#isToExit) return this.#end({ kind: "peer-lost" });
      return this.#pause(now, this.#attempts === 0);
    }
    this.#act({ kind: "moved", isConnected: false });
    this.#lose(now);
  }

  #pause(now: number, asksWhy = false): void {
    if (asksWhy) this.#act({ kind: "explain-silence" });
    this.#state = {
      kind: "pausing",
      until: now + reconnectPause(this.#attempts++, this.#random()),
    };
  }

  /** An action of an attempt failed: the host's network may be changing, which ends one attempt and not the tunnel. */
  #actionFailed(
    { action, error }: Extract<ClientEvent, { kind: "action-failed" }>,
    now: number,
  ): void {
    if (!dependsOn(this.#state, action)) {
      return this.#say({ about: "fault", action: action.kind, error });
    }
    this.#act({ kind: "stop-repeating" });
    if (this.#purpose === "first") return this.#end({ kind: "start-failed", error });
    if (this.#purpose === "again") {
      this.#say({ about: "attempt-failed", error });
      if (this.#isToExit) return this.#end({ kind: "peer-lost" });
      return this.#pause(now);
    }
    this.#act({ kind: "move-failed", error });
    this.#lose(now);
  }

  // Connected, and lost.

  /** The server has authenticated itself: from now on it can be lost. */
  #up(now: number): void {
    const before = this.#state.kind;
    if (before === "up") return;
    if (before === "idle") {
      this.#isUpEarly = true;
      return;
    }
    this.#state = { kind: "up" };
    this.#transports.planTrial(now);
    if (before === "lost-early") return;
    if (before === "preparing" || before === "trying") this.#act({ kind: "stop-repeating" });
    const { route } = this;
    if (this.#purpose === "first") return this.#act({ kind: "connected" });
    if (this.#purpose === "again") {
      return this.#say({ about: "connected-again", route, after: now - this.#lostAt });
    }
    this.#act({ kind: "moved", isConnected: true });
    this.#say({ about: "moved", route });
  }

  #lose(now: number): void {
    if (this.#isHostReady) this.#reconnect(now);
    else this.#state = { kind: "lost-early" };
  }

  get #isToExit(): boolean {
    return this.#settings.onPeerTimeout === "exit";
  }

  #reconnect(now: number): void {
    // At another endpoint it may be there.
    const hasOthers = this.#places.byEndpoint.length > 1;
    if (this.#isToExit && !hasOthers) return this.#end({ kind: "peer-lost" });
    this.#purpose = "again";
    this.#lostAt = now;
    this.#attempts = 0;
    this.#places.lost();
    const { address, port } = this.#places.current;
    this.#say({ about: "lost", place: { address, port } });
    this.#lookUp();
  }

  // The configuration names another server, or the same one elsewhere.

  #move(
    { settings, places }: Extract<ClientEvent, { kind: "server-moved" }>,
    now: number,
  ): void {
    this.#settings = settings;
    this.#places = new ServerPlaces(places);
    const { kind } = this.#state;
    if (kind === "up") this.#purpose = "move";
    const isIdle = kind === "idle" || kind === "lost-early";
    // While the last one is lost, or the client connects for the first time, nobody waits for this one.
    if (isIdle || this.#purpose !== "move") this.#act({ kind: "moved", isConnected: false });
    if (kind === "idle") return;
    this.#act({ kind: "set-server" });
    if (kind === "lost-early") return;
    this.#attempts = 0;
    this.#attempt(now);
  }

  // What happens to the host meanwhile.

  #setEndpoint(end: SocketAddress): void {
    const { address, port } = end;
    this.#places.use(end);
    this.#path.forget();
    this.#act({ kind: "set-endpoint", place: { address, port } });
    this.#act({ kind: "read-path", address });
  }

  #comparePath({ address, path }: Extract<ClientEvent, { kind: "path-read" }>): void {
    if (address !== this.#places.current.address) return;
    const isOther = this.#path.isOther(path);
    this.#path.learn(path);
    if (!isOther) return;
    this.#say({ about: "path-changed" });
    this.#act({ kind: "re-handshake" });
    // What broke UDP may have been the other network.
    if (this.#transports.wantsUdp) this.#act({ kind: "try-udp" });
  }

  /** What the server, and the NATs between, know of this host may be gone. */
  #wake(): void {
    if (this.#state.kind === "idle") return;
    this.#say({ about: "awake" });
    this.#act({ kind: "re-handshake" });
  }

  #returnToUdp(): void {
    if (this.#state.kind === "idle" || !this.#transports.wantsUdp) return;
    this.#transports.comeBack();
    const id = ++this.#lastId;
    this.#act({ kind: "use-transport", id, ...this.route });
    // Once the data plane was told: fake TCP's connection may be one that is being opened, which few packets wait for.
    this.#say({ about: "back-to-udp" });
  }

  #timePassed(now: number): void {
    if (now >= this.#path.readAt) {
      this.#path.reading(now);
      this.#act({ kind: "read-path", address: this.#places.current.address });
    }
    if (now >= this.#transports.trialAt) {
      this.#transports.planTrial(now);
      if (this.#transports.wantsUdp) this.#act({ kind: "try-udp" });
    }
    const state = this.#state;
    if (!("until" in state) || now < state.until) return;
    if (state.kind === "trying") this.#noAnswer(state.attempt, now);
    else this.#lookUp();
  }

  // Actions.

  #act(action: ClientAction): void {
    this.#actions.push(action);
  }

  #say(message: ClientMessage): void {
    this.#act({ kind: "say", message });
  }

  /** Nothing comes after it. */
  #end(action: ClientAction): void {
    this.#act(action);
    this.#state = { kind: "ended" };
  }
}
