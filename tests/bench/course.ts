/** Course of a run: which contender is measured when, and what for. */
import type { TestNamespace, Topology } from "../support/net.ts";
import { addIpv6, layWire, type Wire } from "../net/support/wire.ts";
import type { Contender } from "./contenders/contender.ts";
import { type Lineup, lineUp, programsOf } from "./contenders/lineup.ts";
import { type Program, programOf } from "./contenders/vpn.ts";
import { ContenderName, familiesName, PEER_COUNTS, peersName } from "./figures.ts";
import { UdpLoad } from "./load/udp_load.ts";
import { describeMachine, foreignLoad, installPrograms, type Machine } from "./machine.ts";
import { type FamilyCost, measureInside, measureInternet } from "./measures/families.ts";
import { measureFleetOfOne } from "./measures/fleet_of_one.ts";
import { type GatewaySite, measureGateway } from "./measures/gateway.ts";
import { measureGatewayPeers } from "./measures/gateway_peers.ts";
import { layInternet, measureNat } from "./measures/nat.ts";
import { measureWithPeers } from "./measures/peers.ts";
import { measurePing, measurePings } from "./measures/ping.ts";
import { memoryAtRest, residentMemory, totalTime } from "./measures/process_stats.ts";
import { searchRate } from "./measures/rate_search.ts";
import { measureStorm } from "./measures/storm.ts";
import { measureStart } from "./measures/start.ts";
import { measureTcp, startIperfServer } from "./measures/tcp.ts";
import { measureThousandClients } from "./measures/thousand_clients.ts";
import { errorMessage } from "../../lib/process/errors.ts";
import type { BenchOptions, ContenderKey, Section } from "./options.ts";
import { measureProfile, type Profile } from "./profile/profile.ts";
import { type FigureReport, reportFigures } from "./report.ts";
import { Samples, summarize, type Summary } from "./samples.ts";

/** A run takes less than this: rounds that would not fit are left out. */
const BUDGET_MS = 25 * 60_000;
/** Where the first search for a rate begins: all contenders reach it. */
const FIRST_RATE = 25_000;
const MB = 1e6;
/** Contenders whose servers are started alone, with 1,000 peers. */
const MANY_CLIENTS: readonly ContenderKey[] = [
  "vpn",
  "wireguard-go",
  "wireguard-go-installed",
];
/** Contenders that have a client reach the internet. */
const GATEWAYS: readonly ContenderKey[] = [...MANY_CLIENTS, "nebula", "openvpn"];
/** How long is looked for what else runs on the machine. */
const LOAD_INTERVAL_MS = 250;

/** All that a run has found out; what the JSON holds. */
export interface BenchResult {
  readonly startedAt: string;
  readonly seconds: number;
  readonly options: BenchOptions;
  readonly machine: Machine;
  /**
   * Share of the processors that something else used, 0 to 1: looked at before each turn, when nothing of ours runs.
   */
  readonly foreignLoad: Summary;
  readonly figures: readonly FigureReport[];
  readonly profile: Profile | null;
  /** What else a reader must know. */
  readonly notes: readonly string[];
}

export interface Surroundings {
  /** Says what is going on. */
  readonly note: (text: string) => void;
  /** Aborted when the topology is taken down under the run. */
  readonly interrupted: AbortSignal;
}

/** Measures all that the options ask for. */
export async function runBench(
  topology: Topology,
  options: BenchOptions,
  { note, interrupted }: Surroundings,
): Promise<BenchResult> {
  const startedAt = new Date();
  const notes: string[] = [];
  const missing = await installPrograms(programsFor(options), note);
  if (missing.length > 0) notes.push(`Not to be had here: ${missing.join(", ")}.`);
  const program = programOf(options.program);
  using lineup = await lineUp({ keys: options.contenders, program, note });
  for (const absent of lineup.absent) {
    note(`skipped: ${absent}`);
    notes.push(`SKIPPED: ${absent}`);
  }
  const machine = await describeMachine(lineup.versions);
  const wire = await layWire(topology);
  if (options.sections.includes("families")) await addIpv6(wire);
  const internet = await layInternet(topology, wire);
  const layGateway = async () => {
    const wire = await layWire(topology);
    return { wire, internet: await layInternet(topology, wire) };
  };
  const stage = { wire, internet, layWire: () => layWire(topology), layGateway, lineup, program };
  using run = new Run(stage, options, { note, interrupted });
  const profile = await run.all();
  return {
    startedAt: startedAt.toISOString(),
    seconds: (Date.now() - startedAt.getTime()) / 1000,
    options,
    machine,
    foreignLoad: run.foreignLoad(),
    figures: reportFigures(run.samples, [...lineup.contenders.values()]),
    profile,
    notes: [...notes, ...run.notes],
  };
}

function programsFor({ contenders, sections }: BenchOptions): string[] {
  return [
    ...programsOf(contenders),
    ...sections.includes("profile") ? ["perf"] : [],
    ...sections.includes("fleet-of-one") ? ["nats-server"] : [],
    ...sections.includes("nat") ? ["nft", "sysctl"] : [],
  ];
}

/** What a run measures, and where. */
interface Stage {
  readonly wire: Wire;
  readonly internet: TestNamespace;
  /** Lays another wire. */
  readonly layWire: () => Promise<Wire>;
  /** And an internet behind its server. */
  readonly layGateway: () => Promise<GatewaySite>;
  readonly lineup: Lineup;
  /** This project. */
  readonly program: Program;
}

class Run implements Disposable {
  readonly samples = new Samples();
  readonly notes: string[] = [];
  readonly #wire: Wire;
  readonly #stage: Stage;
  readonly #options: BenchOptions;
  readonly #note: (text: string) => void;
  readonly #interrupted: AbortSignal;
  readonly #program: Program;
  readonly #udp: UdpLoad;
  readonly #foreignLoads: number[] = [];
  readonly #started = performance.now();

  constructor(stage: Stage, options: BenchOptions, { note, interrupted }: Surroundings) {
    this.#stage = stage;
    this.#wire = stage.wire;
    this.#options = options;
    this.#note = note;
    this.#interrupted = interrupted;
    this.#program = stage.program;
    this.#udp = new UdpLoad(stage.wire);
  }

  /** Measures what is asked for; returns the profile if it is. */
  async all(): Promise<Profile | null> {
    const { quick, seconds } = this.#options;
    // The short ones first: the rounds take what time is left.
    if (this.#wants("start")) await this.#turn("start of the client", () => this.#measureStart());
    if (this.#wants("handshakes", "memory")) {
      await this.#turn("handshakes of 1,000 clients", () =>
        measureThousandClients(this.#wire, {
          contenders: this.#chosen(MANY_CLIENTS),
          rounds: quick ? 1 : Math.min(this.#options.rounds, 3),
          seconds,
          samples: this.samples,
        }));
    }
    if (this.#wants("storm")) {
      await this.#turn("a storm of 1,000 clients", () =>
        measureStorm(this.#wire, {
          contenders: this.#chosen(MANY_CLIENTS),
          storms: quick ? 2 : 8,
          samples: this.samples,
          remark: (text) => void this.notes.push(text),
        }));
    }
    if (this.#wants("ping")) {
      await this.#turn("ping, all in turns", () =>
        measurePings({
          contenders: [...this.#stage.lineup.contenders.values()],
          layWire: this.#stage.layWire,
          processes: quick ? 1 : 3,
          turns: quick ? 2 : 4,
          samples: this.samples,
          remark: (text) => void this.notes.push(text),
        }));
    }
    if (this.#wants("gateway")) {
      await this.#turn("the gateway alone", () =>
        measureGateway({
          program: this.#program,
          lay: this.#stage.layGateway,
          rounds: quick ? 1 : Math.min(this.#options.rounds, 3),
          samples: this.samples,
          remark: (text) => void this.notes.push(text),
        }));
      await this.#turn("the gateway alone, 1,000 peers beside one", () =>
        measureGatewayPeers({
          program: this.#program,
          lay: this.#stage.layGateway,
          processes: quick ? 1 : 9,
          backlogs: quick ? 15 : 40,
          samples: this.samples,
        }));
    }
    if (this.#wants("fleet-of-one")) {
      await this.#turn("a fleet of one beside a gateway", () =>
        measureFleetOfOne(this.#wire, {
          program: this.#program,
          internet: this.#stage.internet,
          rounds: quick ? 1 : this.#options.rounds,
          samples: this.samples,
        }));
    }
    const profile = this.#wants("profile")
      ? await this.#turn("profile", () => measureProfile(this.#wire, quick ? 1 : 2))
      : null;
    await this.#rounds();
    return profile;
  }

  /** What else ran on the machine. */
  foreignLoad(): Summary {
    return summarize(this.#foreignLoads);
  }

  [Symbol.dispose](): void {
    this.#udp[Symbol.dispose]();
  }

  async #rounds(): Promise<void> {
    const contenders = this.#wants("tcp", "udp", "memory")
      ? [...this.#stage.lineup.contenders.values()]
      : [];
    const { kernelNat } = this.#stage.lineup;
    const gateways = this.#wants("nat")
      ? [...this.#chosen(GATEWAYS), ...kernelNat === null ? [] : [kernelNat]]
      : [];
    const peerCounts = !this.#wants("peers")
      ? []
      : this.#options.quick
      ? [PEER_COUNTS[0], PEER_COUNTS.at(-1)!]
      : PEER_COUNTS;
    const { rounds } = this.#options;
    for (let round = 1; round <= rounds; round++) {
      const start = performance.now();
      for (const contender of contenders) {
        await this.#turn(
          `round ${round} of ${rounds}: ${contender.name}`,
          () => this.#measureContender(contender),
        );
      }
      for (const contender of gateways) {
        await this.#turn(
          `round ${round} of ${rounds}: ${contender.name}, to the internet`,
          () => this.#measureNat(contender),
        );
      }
      for (const peers of peerCounts) {
        await this.#turn(
          `round ${round} of ${rounds}: ${peersName(peers)}`,
          () => this.#measurePeers(peers),
        );
      }
      if (this.#wants("families")) {
        await this.#turn(
          `round ${round} of ${rounds}: both families`,
          () => this.#measureFamilies(),
        );
      }
      const now = performance.now();
      if (round < rounds && now - this.#started + (now - start) > BUDGET_MS) {
        this.notes.push(`Time was up after round ${round} of ${rounds}.`);
        break;
      }
    }
  }

  /** Does one thing. That it fails is told at the end, and keeps nothing else from being measured. */
  async #turn<Result>(title: string, measure: () => Promise<Result>): Promise<Result | null> {
    this.#foreignLoads.push(await foreignLoad(LOAD_INTERVAL_MS));
    this.#note(`${Math.round((performance.now() - this.#started) / 1000)} s: ${title}`);
    try {
      return await measure();
    } catch (error) {
      if (this.#interrupted.aborted) throw error;
      const message = errorMessage(error);
      this.notes.push(`FAILED: ${title}: ${message}`);
      this.#note(message);
      return null;
    }
  }

  /** One turn of one contender: started afresh, warmed up, measured, ended. */
  async #measureContender(contender: Contender): Promise<void> {
    const wire = this.#wire;
    await using tunnel = await contender.start(wire);
    await using _iperf = await startIperfServer(wire.server);
    const { name } = contender;
    const add = (figure: string, value: number) => this.samples.add(figure, name, value);
    await measurePing(wire.client, 10);
    if (this.#wants("memory")) add("memory-1", await memoryAtRest(tunnel.server.pid) / MB);
    await measureTcp(wire.client, { seconds: 1 });

    if (this.#wants("tcp")) {
      const { seconds } = this.#options;
      const pids = [tunnel.client.pid, tunnel.server.pid];
      const before = totalTime(pids);
      const up = await measureTcp(wire.client, { seconds });
      const down = await measureTcp(wire.client, { seconds, down: true });
      add("tcp-1-up", up.rate);
      add("tcp-1-down", down.rate);
      if (name === ContenderName.vpn || name === ContenderName.fakeTcp) {
        add("transports-up", up.rate);
        add("transports-down", down.rate);
      }
      add("cpu", (totalTime(pids) - before) * 1e3 / ((up.bytes + down.bytes) / MB));
      add("tcp-4-up", (await measureTcp(wire.client, { seconds, streams: 4 })).rate);
      add("tcp-4-down", (await measureTcp(wire.client, { seconds, streams: 4, down: true })).rate);
    }
    if (this.#wants("udp")) add("udp", await this.#searchUdpRate(name));
    if (this.#wants("memory")) add("memory-1-loaded", residentMemory(tunnel.server.pid) / MB);
  }

  /** The first search goes far; those after it look about where that one ended. */
  #searchUdpRate(contender: string): Promise<number> {
    const seconds = this.#options.quick ? 0.4 : 0.7;
    const known = this.samples.summary("udp", contender)?.median ?? 0;
    return searchRate(
      (rate) => this.#udp.run(rate, seconds),
      known > 0 ? { start: known, factor: 1.15 } : { start: FIRST_RATE, factor: 1.6 },
    );
  }

  async #measureNat(contender: Contender): Promise<void> {
    const { internet } = this.#stage;
    const { seconds } = this.#options;
    const { up, down } = await measureNat(this.#wire, { contender, internet, seconds });
    this.samples.add("nat-up", contender.name, up);
    this.samples.add("nat-down", contender.name, down);
  }

  async #measureFamilies(): Promise<void> {
    const options = { program: this.#program, seconds: this.#options.seconds };
    const add = (figure: string, name: string, { rate, cpu }: FamilyCost) => {
      this.samples.add(figure, name, rate);
      this.samples.add(`${figure}-cpu`, name, cpu);
    };
    for (const outside of ["IPv4", "IPv6"] as const) {
      const costs = await measureInside(this.#wire, outside, options);
      for (const inside of ["IPv4", "IPv6"] as const) {
        add("families", familiesName(inside, outside), costs[inside]);
      }
    }
    const costs = await measureInternet(this.#wire, this.#stage.internet, options);
    for (const family of ["IPv4", "IPv6"] as const) add("families-nat", family, costs[family]);
  }

  async #measurePeers(peers: number): Promise<void> {
    const { seconds } = this.#options;
    const rate = await measureWithPeers(this.#wire, { program: this.#program, peers, seconds });
    this.samples.add("peers", peersName(peers), rate);
  }

  async #measureStart(): Promise<void> {
    const count = this.#options.quick ? 3 : 7;
    const times = await measureStart(this.#wire, { program: this.#program, count });
    for (const time of times) this.samples.add("start", ContenderName.vpn, time);
  }

  #wants(...sections: readonly Section[]): boolean {
    return sections.some((section) => this.#options.sections.includes(section));
  }

  /** Those of them that are in the line-up. */
  #chosen(keys: readonly ContenderKey[]): Contender[] {
    return keys.flatMap((key) => this.#stage.lineup.contenders.get(key) ?? []);
  }
}
