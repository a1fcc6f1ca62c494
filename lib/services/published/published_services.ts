/**
 * Published services: knows who of their back ends may be given flows, and tells the data plane: by the peers that
 * there are and their sessions, by checks, and by what people have drained. Of services with one back end nothing is
 * checked, as there is nobody else.
 */
import type { ForwardBackEnd, PortForward } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import type { NatBackEnd, NatService } from "../../core/nat/nat_options.ts";
import type { BackEndStatus, ServiceStatus } from "../../core/peers/service_status.ts";
import { formatIpv4, type Ipv4Prefix } from "../../core/wire/ipv4_text.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import type { DataPlaneListener } from "../../dataplane/data_plane_listener.ts";
import type { Statistics } from "../../dataplane/data_plane_protocol.ts";
import { background, guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import { BackEndNews } from "./back_end_news.ts";
import { type BackEndPlace, BackEndPlaces, type PlacedPeer } from "./back_end_places.ts";
import { DrainedBackEnds, type DrainedBackEndsOptions } from "./drained_back_ends.ts";
import { type CheckTarget, type Connect, HealthChecks } from "./health_checks.ts";
import { isCalled, serviceName } from "./service_names.ts";

export interface PublishedServicesOptions {
  readonly forwards: readonly PortForward[];
  /** Of the gateway inside. */
  readonly addresses: readonly Ipv4Prefix[];
  /** Those with access, by public key in base64. */
  readonly peers: ReadonlyMap<string, PlacedPeer>;
  readonly connect: Connect;
  /** Where is kept which back ends are drained. */
  readonly drained: DrainedBackEndsOptions["drained"];
  readonly logger: Logger;
  /** Takes note of what has happened. */
  readonly record: (kind: string, detail: string) => void;
}

/** ms after the start in which nobody is told: peers have yet to come back to a gateway that was restarted. */
const QUIET = 10_000;

interface BackEnd {
  readonly configured: ForwardBackEnd;
  readonly key: string;
  place: BackEndPlace;
}

interface Service {
  readonly name: string;
  readonly forward: PortForward;
  readonly backEnds: readonly BackEnd[];
}

type PeerReport = Parameters<DataPlaneListener["onPeer"]>[0];

export class PublishedServices implements Disposable {
  readonly #options: PublishedServicesOptions;
  readonly #checks: HealthChecks;
  /** Plain ones are the NAT's own, and have nothing that changes. */
  readonly #plain: readonly Service[];
  #services: readonly Service[];
  #places: BackEndPlaces;
  /** Peers with a session, by public key in base64. */
  readonly #connected = new Set<string>();
  readonly #drained: DrainedBackEnds;
  readonly #news: BackEndNews;
  #dataPlane: Pick<DataPlaneHandle, "setServices"> | null = null;
  /** What the data plane was told last, and what it is being told. */
  #told = "";
  #telling: Promise<void> | null = null;
  #isEnded = false;
  /** While nobody is told. */
  #quiet: ReturnType<typeof setTimeout> | null = null;
  readonly #hadOutside: boolean;

  constructor(options: PublishedServicesOptions) {
    this.#options = options;
    const { forwards, peers, addresses } = options;
    const places = this.#places = new BackEndPlaces(peers, addresses);
    this.#plain = this.#servicesOf(forwards.filter((forward) => places.isPlain(forward)));
    this.#services = this.#servicesOf(forwards.filter((forward) => !places.isPlain(forward)));
    places.placeAll([...this.#plain, ...this.#services]);
    this.#hadOutside = this.#services.some(({ backEnds }) =>
      backEnds.some(({ place }) => place.isOutside)
    );
    this.#drained = new DrainedBackEnds(options, this.#drainable());
    this.#news = new BackEndNews({ ...options, onDue: () => this.#follow() });
    this.#checks = new HealthChecks({
      connect: options.connect,
      isReachable: (key) => this.#isReachable(this.#backEndAt(key)),
      onAnswer: (key) => this.#answered(key),
      onChange: () => this.#follow(),
    });
  }

  /** Those whose one back end is an address in the tunnel. */
  get plain(): readonly PortForward[] {
    return this.#plain.map(({ forward }) => forward);
  }

  /** All others, as the data plane is to have them now. */
  get current(): readonly NatService[] {
    return this.#services.map(({ forward, backEnds }) => ({
      protocol: forward.protocol,
      externalAddress: forward.externalAddress,
      externalPort: forward.externalPort,
      method: forward.method,
      backEnds: backEnds.map((backEnd) => this.#natBackEnd(forward, backEnd)),
    }));
  }

  #servicesOf(forwards: readonly PortForward[]): Service[] {
    return forwards.map((forward) => {
      const name = serviceName(forward);
      const backEnds = forward.backEnds.map((configured) => ({
        configured,
        key: `${name} ${configured.text}`,
        place: this.#places.of(configured),
      }));
      return { name, forward, backEnds };
    });
  }

  #natBackEnd(forward: PortForward, backEnd: BackEnd): NatBackEnd {
    const { configured, key, place: { address, isOutside } } = backEnd;
    return {
      name: configured.text,
      address,
      port: configured.port,
      isOutside,
      isUp: this.#problemOf(forward, backEnd) === null,
      isDraining: this.#drained.has(key),
    };
  }

  /** Why a back end that is somewhere is given nothing; null where it is. */
  #problemOf({ backEnds }: PortForward, { key, place }: BackEnd): string | null {
    if (backEnds.length === 1) return null;
    const health = this.#checks.healthOf(key);
    if (health !== null && !health.isUp) {
      return health.problem ?? "it has not answered for long enough";
    }
    return this.#isReachable({ place }) ? null : "the peer has no session";
  }

  #isReachable(backEnd: Pick<BackEnd, "place"> | undefined): boolean {
    const peer = backEnd?.place.peer ?? null;
    return peer === null || this.#connected.has(peer);
  }

  #backEndAt(key: string): BackEnd | undefined {
    return this.#services.flatMap(({ backEnds }) => backEnds).find((each) => each.key === key);
  }

  /** Keys of all but the only back ends of services. */
  #drainable(): ReadonlySet<string> {
    const several = this.#services.filter(({ backEnds }) => backEnds.length > 1);
    return new Set(several.flatMap(({ backEnds }) => backEnds.map(({ key }) => key)));
  }

  // Another configuration.

  /**
   * Whether these may take the place of those that there are without a restart: the same is published, and ports of the
   * NAT are set apart for back ends outside if there are such now.
   */
  canFollow(forwards: readonly PortForward[]): boolean {
    const isPlain = (forward: PortForward) => this.#places.isPlain(forward);
    const plain = forwards.filter(isPlain);
    const others = forwards.filter((forward) => !isPlain(forward));
    const hasOutside = others.some(({ backEnds }) =>
      backEnds.some((each) => this.#places.of(each).isOutside)
    );
    return isSame(plain, this.plain) &&
      isSame(others.map(serviceName), this.#services.map(({ name }) => name)) &&
      (!hasOutside || this.#hadOutside);
  }

  /** Follows a configuration that `canFollow()`. */
  setForwards(forwards: readonly PortForward[]): void {
    const places = this.#places;
    this.#services = this.#servicesOf(forwards.filter((forward) => !places.isPlain(forward)));
    places.placeAll([...this.#plain, ...this.#services]);
    this.#news.bound(
      new Set(this.#services.flatMap(({ backEnds }) => backEnds.map(({ key }) => key))),
    );
    this.#drained.bound(this.#drainable());
    this.#follow();
  }

  // What happens.

  /** Begins to check, and to tell the data plane. */
  start(dataPlane: Pick<DataPlaneHandle, "setServices">): void {
    this.#dataPlane = dataPlane;
    if (this.#services.length === 0) return;
    this.#quiet = setTimeout(
      guarded("server", "telling of back ends", () => {
        this.#quiet = null;
        this.#follow();
      }),
      QUIET,
    );
    this.#follow();
  }

  /** These peers have access from now on. */
  setPeers(peers: ReadonlyMap<string, PlacedPeer>): void {
    if (this.#services.length === 0) return;
    this.#places = new BackEndPlaces(peers, this.#options.addresses);
    for (const key of this.#connected) if (!peers.has(key)) this.#connected.delete(key);
    this.#places.placeAll([...this.#plain, ...this.#services]);
    this.#follow();
  }

  /** The data plane reports something of a peer. */
  report({ event, publicKey }: PeerReport): void {
    if (this.#services.length === 0) return;
    const key = encodeKey(publicKey);
    switch (event) {
      case "handshake-completed":
      case "up":
        this.#setConnected(key, true);
        break;
      case "down":
      case "released":
      case "keys-zeroed":
        this.#setConnected(key, false);
        break;
    }
  }

  #setConnected(key: string, isConnected: boolean): void {
    if (this.#connected.has(key) === isConnected) return;
    if (isConnected) this.#connected.add(key);
    else this.#connected.delete(key);
    const serves = this.#services.some(({ backEnds }) =>
      backEnds.some(({ place }) => place.peer === key)
    );
    if (serves) this.#follow();
  }

  /** A check was answered: then there is a session, whatever was told. */
  #answered(key: string): void {
    const peer = this.#backEndAt(key)?.place.peer ?? null;
    if (peer !== null) this.#setConnected(peer, true);
  }

  /**
   * Gives a back end no new flows from now on, or gives it some again.
   *
   * @param service null for all that have such a back end
   * @returns the names of the services that it was found in
   * @throws {RangeError} where none is found, or it is the only back end of its service
   */
  drain(backEnd: string, service: string | null, isDrained: boolean): string[] {
    const found = this.#services.filter(({ name }) => service === null || name === service)
      .flatMap(({ name, backEnds }) =>
        backEnds.filter(({ configured }) => isCalled(configured, backEnd))
          .map(({ key, configured }) => ({ name, key, configured, isOnly: backEnds.length === 1 }))
      );
    const verb = isDrained ? "drain" : "undrain";
    if (found.length === 0) {
      const where = service === null ? "a Forward with several back ends" : `service ${service}`;
      throw new RangeError(`Cannot ${verb} ${backEnd}: it is no back end of ${where}`);
    }
    const only = found.find(({ isOnly }) => isOnly);
    if (only !== undefined && isDrained) {
      throw new RangeError(`Cannot drain ${backEnd}: ${only.name} has no other back end`);
    }
    this.#drained.change(new Set(found.map(({ key }) => key)), isDrained);
    this.#follow();
    return found.map(({ name }) => name);
  }

  /** What of it there is, with what the data plane has counted. */
  status({ services: figures }: Pick<Statistics, "services">): ServiceStatus[] {
    const counted = new Map(figures.map((each) => [`${each.service} ${each.backEnd}`, each]));
    const of = (service: Service, index: number): ServiceStatus => ({
      name: service.name,
      method: service.forward.method,
      backEnds: service.backEnds.map((backEnd, place) => {
        const { open = 0, total = 0 } = counted.get(`${index} ${place}`) ?? {};
        return {
          ...this.#backEndStatus(service, backEnd),
          connections: open,
          totalConnections: total,
        };
      }),
    });
    return [
      ...this.#services.map(of),
      ...this.#plain.map((service) => of(service, -1)),
    ];
  }

  #backEndStatus(
    { forward }: Service,
    backEnd: BackEnd,
  ): Omit<BackEndStatus, "connections" | "totalConnections"> {
    const { configured, key, place } = backEnd;
    const problem = place.problem ?? this.#problemOf(forward, backEnd);
    const isChecked = this.#checks.healthOf(key) !== null ||
      (place.peer !== null && forward.backEnds.length > 1);
    const isDrained = this.#drained.has(key);
    const state = place.address === null
      ? "absent"
      : isDrained
      ? "drained"
      : problem !== null
      ? "down"
      : isChecked
      ? "up"
      : "unchecked";
    return {
      name: configured.text,
      address: place.address === null ? null : `${formatIpv4(place.address)}:${configured.port}`,
      isOutside: place.isOutside,
      state,
      reason: problem,
    };
  }

  // What follows.

  #follow(): void {
    if (this.#dataPlane === null || this.#isEnded) return;
    this.#checks.follow(this.#targets());
    if (this.#quiet === null) { for (const service of this.#services) this.#tellPeople(service); }
    this.#tellDataPlane(this.#dataPlane);
  }

  #targets(): Map<string, CheckTarget> {
    const targets = new Map<string, CheckTarget>();
    for (const { forward, backEnds } of this.#services) {
      if (backEnds.length === 1 || forward.check === "off") continue;
      for (const { key, configured, place: { address } } of backEnds) {
        if (address === null) continue;
        const port = forward.check === "port" ? configured.port : forward.check;
        targets.set(key, { address, port });
      }
    }
    return targets;
  }

  #tellPeople(service: Service): void {
    for (const backEnd of service.backEnds) {
      const now = { key: backEnd.key, ...this.#backEndStatus(service, backEnd) };
      if (!this.#news.tell(service.name, now)) continue;
      const isServed = service.backEnds.some((each) => {
        const { address } = each.place;
        return address !== null && !this.#drained.has(each.key) &&
          this.#problemOf(service.forward, each) === null;
      });
      if (isServed) continue;
      this.#options.logger.error("service {service}: no back end is left", {
        service: service.name,
      });
    }
  }

  /** Tells it the latest, one message after the other. */
  #tellDataPlane(dataPlane: Pick<DataPlaneHandle, "setServices">): void {
    if (this.#telling !== null) return;
    const services = this.current;
    const text = JSON.stringify(services);
    if (text === this.#told) return;
    this.#told = text;
    this.#telling = dataPlane.setServices(services).finally(() => {
      this.#telling = null;
      if (!this.#isEnded) this.#tellDataPlane(dataPlane);
    });
    background("server", "telling the data plane of back ends", this.#telling);
  }

  [Symbol.dispose](): void {
    this.#isEnded = true;
    if (this.#quiet !== null) clearTimeout(this.#quiet);
    this.#checks[Symbol.dispose]();
    this.#news[Symbol.dispose]();
  }
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
