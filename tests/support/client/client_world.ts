/**
 * Client world: the real client machine on a fake clock, with a network, a resolver and a server around it that a test
 * switches. Each action is written down with its time, so that a test reads like a specification.
 */
import type { ClientAction, ServerRoute } from "../../../lib/core/client/client_action.ts";
import type { ClientEvent, ClientSettings } from "../../../lib/core/client/client_event.ts";
import { ClientMachine } from "../../../lib/core/client/client_machine.ts";
import { Transport } from "../../../lib/core/transport/transport.ts";
import type { ServerPlace } from "../../../lib/core/client/server_places.ts";
import type { HostAddress } from "../../../lib/core/wire/host_address.ts";
import type { SocketAddress } from "../../../lib/core/wire/socket_address.ts";
import { Schedule } from "../time/schedule.ts";

export const { udp: UDP, fakeTcp: FAKE_TCP } = Transport;

export interface ClientWorldOptions {
  /** Of its only `Endpoint`. */
  readonly addresses?: readonly HostAddress[];
  /** Of several. */
  readonly places?: readonly ServerPlace[];
  readonly transport?: "udp" | "faketcp" | "auto";
  readonly settings?: Partial<ClientSettings>;
  readonly random?: () => number;
}

/** Of all places that a test does not say it of. */
const PORT = 51_820;

/** Places of one `Endpoint`. */
export function placesAt(addresses: readonly HostAddress[], rank = 0): ServerPlace[] {
  return addresses.map((address) => ({ address, port: PORT, rank }));
}

export const SETTINGS: ClientSettings = { connectTimeout: 2_500, onPeerTimeout: "reconnect" };

export class ClientWorld {
  /** ms since the start of the test; the machine's own clock began long before. */
  now = 0;
  /** Whether handshakes by a route are answered. */
  isReached: (route: ServerRoute) => boolean = () => true;
  /** ms from a message to its answer. */
  roundTrip = 50;
  /** What the resolver says; an error for a look-up that fails. */
  resolver: readonly HostAddress[] | readonly ServerPlace[] | Error;
  lookUpTime = 20;
  /** ms until fake TCP has its sockets; an error where it cannot have them. */
  fakeTcpTime: number | Error = 10;
  path = "eth0";
  /** Actions since `taken()` was called last. */
  #log: string[] = [];
  readonly #start = 1_000_000;
  readonly machine: ClientMachine;
  readonly settings: ClientSettings;
  readonly #events = new Schedule<ClientEvent | (() => void)>();
  /** ms between initiations; 0 while none are repeated. */
  #interval = 0;
  #repetition = 0;

  constructor(
    { addresses = [1], places = placesAt(addresses), transport = "udp", settings, random }:
      ClientWorldOptions = {},
  ) {
    this.resolver = places;
    this.settings = { ...SETTINGS, ...settings };
    this.machine = new ClientMachine({
      places,
      transport,
      settings: this.settings,
      random: random ?? (() => 0.5),
    });
  }

  /** One that has connected, with its host set up, and has nothing more to say of it. */
  static connected(options: ClientWorldOptions = {}): ClientWorld {
    const world = new ClientWorld(options);
    world.tell({ kind: "start", lookUpFirst: false });
    world.run(100);
    world.tell({ kind: "host-ready" });
    world.taken();
    return world;
  }

  /** Whether the machine has ended, or was stopped. */
  hasEnded = false;

  /** All actions since the start. */
  readonly actions: ClientAction[] = [];

  /** Whether the machine said that a connection stands, and nothing has ended that since. */
  isUp = false;

  tell(event: ClientEvent): void {
    const actions = this.machine.take(event, this.#start + this.now);
    if (event.kind === "peer-down" || event.kind === "server-moved") this.isUp = false;
    if (event.kind === "stop") this.hasEnded = true;
    for (const action of actions) this.#perform(action);
  }

  at(time: number, event: ClientEvent | (() => void)): void {
    this.#events.add(time, event);
  }

  /** Lets ms pass. */
  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const dueAt = this.machine.dueAt - this.#start;
      const next = Math.min(dueAt, this.#events.nextAt);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      const event = this.#events.take(this.now);
      if (event === undefined) {
        this.tell({ kind: "time" });
        if (this.machine.dueAt === dueAt + this.#start) {
          throw new Error(`The machine is due at ${dueAt} for ever`);
        }
      } else if (typeof event === "function") event();
      else this.tell(event);
    }
    this.now = end;
  }

  /** The actions since the last call, each as `TIME ACTION`. */
  taken(): string[] {
    return this.#log.splice(0);
  }

  #perform(action: ClientAction): void {
    this.actions.push(action);
    this.#log.push(`${Math.round(this.now)} ${textOf(action)}`);
    switch (action.kind) {
      case "no-answer":
      case "start-failed":
      case "peer-lost":
        this.hasEnded = true;
        break;
      case "connected":
        this.isUp = true;
        break;
      case "moved":
        this.isUp = action.isConnected;
        break;
      case "say":
        if (action.message.about === "connected-again") this.isUp = true;
        break;
      case "look-up":
        this.#answerLookUp(action);
        break;
      case "read-path":
        this.at(this.now, { kind: "path-read", address: action.address, path: this.path });
        break;
      case "use-transport": {
        const time = action.transport === UDP ? 0 : this.fakeTcpTime;
        this.at(
          this.now + (typeof time === "number" ? time : 0),
          typeof time === "number"
            ? { kind: "transport-ready", id: action.id, transport: action.transport }
            : { kind: "action-failed", action, error: time },
        );
        break;
      }
      case "initiate":
        this.#interval = action.interval;
        this.#repeat(++this.#repetition);
        break;
      case "stop-repeating":
        this.#interval = 0;
        break;
      case "re-handshake":
        this.#handshake();
        break;
      case "try-udp":
        if (this.isReached({ ...this.machine.route, transport: UDP })) {
          this.at(this.now + this.roundTrip, { kind: "udp-works" });
        }
    }
  }

  #answerLookUp(action: Extract<ClientAction, { kind: "look-up" }>): void {
    const answer = (): ClientEvent =>
      this.resolver instanceof Error ? { kind: "action-failed", action, error: this.resolver } : {
        kind: "looked-up",
        id: action.id,
        places: this.resolver.flatMap((each) => typeof each === "object" ? each : placesAt([each])),
      };
    this.at(this.now + this.lookUpTime, () => this.tell(answer()));
  }

  #repeat(repetition: number): void {
    if (this.#interval === 0 || repetition !== this.#repetition) return;
    this.#handshake();
    this.at(this.now + this.#interval, () => this.#repeat(repetition));
  }

  #handshake(): void {
    const { route } = this.machine;
    if (!this.isReached(route)) return;
    this.at(this.now + this.roundTrip, {
      kind: "peer-up",
      from: { address: route.address, port: route.port },
    });
  }
}

function textOf(action: ClientAction): string {
  switch (action.kind) {
    case "look-up":
      return "look-up";
    case "set-endpoint":
      return `set-endpoint ${placeText(action.place)}`;
    case "read-path":
      return `read-path ${action.address}`;
    case "use-transport":
      return `use ${routeText(action)}`;
    case "initiate":
      return `initiate every ${action.interval}`;
    case "moved":
      return `moved: ${action.isConnected ? "connected" : "not yet"}`;
    case "start-failed":
    case "move-failed":
      return `${action.kind}: ${(action.error as Error).message}`;
    case "say": {
      const { message } = action;
      if (message.about === "no-answer") {
        return `say no-answer by ${routeText(message.last)}, next ${routeText(message.next)}`;
      }
      if (message.about === "connected-again") {
        return `say connected-again by ${routeText(message.route)} after ${message.after}`;
      }
      return `say ${message.about}`;
    }
    default:
      return action.kind;
  }
}

function routeText(route: ServerRoute): string {
  return `${route.transport === UDP ? "UDP" : "fake TCP"} to ${placeText(route)}`;
}

function placeText({ address, port }: SocketAddress): string {
  return port === PORT ? `${address}` : `${address}:${port}`;
}
