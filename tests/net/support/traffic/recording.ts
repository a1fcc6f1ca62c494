/** Recordings of what passes on an interface, whole packets, to be judged by tcpdump afterwards. */
import { emptyFile } from "../../../support/folder.ts";
import { type TestNamespace } from "../../../support/net.ts";
import { eventually } from "../../../support/time/patience.ts";
import { delay } from "../wire.ts";

/** Programs that a test with a recording needs. */
export const RECORDING_PROGRAMS: readonly string[] = ["tcpdump"];

/** Packets on their way through an interface. Disposal removes the recording. */
export interface Recording extends AsyncDisposable {
  /** Ends the recording. */
  stop(): Promise<void>;
  /** How many packets match a filter of tcpdump's. */
  count(filter: string): Promise<number>;
  /** What tcpdump says of the packets that match, with their checksums. */
  describe(filter: string): Promise<string>;
  /** What tshark thinks of the packets, all checksums verified. */
  expertNotes(): Promise<ExpertNotes>;
  /** When the packets that match passed, in ms. */
  times(filter: string): Promise<number[]>;
}

export interface ExpertNotes {
  readonly packets: number;
  readonly badChecksums: number;
  /** Notes by their text, errors and warnings apart from the others, each text once. */
  readonly severe: readonly string[];
  readonly others: readonly string[];
}

/** tshark's own numbers (epan/proto.h): notes below a warning only tell. */
const PI_WARN = 0x0060_0000;

/** ms within which the kernel gives a block of packets to tcpdump, whose own time-out for that is 1,000. */
const BLOCK_TIMEOUT = 1_200;

export interface RecordingOptions {
  /** What passes is in the recording at once, also what comes right before its end; for small traffic. */
  readonly immediate?: boolean;
}

/** Starts to record; what passes after this has returned is in it. */
export async function record(
  namespace: TestNamespace,
  interfaceName: string,
  filter: string,
  { immediate = false }: RecordingOptions = {},
): Promise<Recording> {
  const path = emptyFile({ suffix: ".pcap" });
  const process = namespace.spawn([
    ...["tcpdump", "-i", interfaceName, "-n", "-p", "-U", "-Z", "root", "-B", "16384"],
    ...immediate ? ["--immediate-mode"] : [],
    ...["-w", path, filter],
  ]);
  await process.waitFor(/listening on/);
  const read = async (options: readonly string[], readFilter: string) => {
    const command = ["tcpdump", "-r", path, "-n", "-t", ...options, readFilter];
    const { code, stdout, stderr } = await namespace.run(command);
    // Of a recording that goes on, the last packet may be half written.
    if (code === 0 || stderr.includes("truncated dump file")) return stdout;
    throw new Error(`Cannot read a recording of ${interfaceName}: ${stderr}`);
  };
  return {
    async stop() {
      // The kernel hands packets over by the block, a second at the latest after the first of them (packet(7)).
      if (!immediate) await delay(BLOCK_TIMEOUT);
      await process.stop();
      const lost = /([1-9]\d*) packets dropped by kernel/.exec(process.stderr);
      if (lost !== null) throw new Error(`Cannot record ${interfaceName}: ${lost[0]}`);
    },
    async count(readFilter) {
      return (await read(["-q"], readFilter)).split("\n").length - 1;
    },
    describe: (readFilter) => read(["-vv"], readFilter),
    async expertNotes() {
      const fields = ["_ws.expert.severity", "_ws.expert.message", "tcp.checksum.status"];
      const lines = (await namespace.output([
        ...["tshark", "-r", path, "-n", "-o", "tcp.check_checksum:TRUE", "-T", "fields"],
        ...["-E", "separator=/t", "-E", "aggregator=|", "-Y", "tcp"],
        ...fields.flatMap((field) => ["-e", field]),
      ])).trimEnd().split("\n").map((line) => line.split("\t"));
      const severe = new Set<string>();
      const others = new Set<string>();
      for (const [severities = "", messages = ""] of lines) {
        if (severities === "") continue;
        const texts = messages.split("|");
        severities.split("|").forEach((severity, index) => {
          (Number(severity) >= PI_WARN ? severe : others).add(texts[index] ?? messages);
        });
      }
      return {
        packets: lines.length,
        // 1 is "good" (epan/proto.h).
        badChecksums: lines.filter((line) => line[2] !== "1" && line[2] !== "Good").length,
        severe: [...severe].sort(),
        others: [...others].sort(),
      };
    },
    async times(readFilter) {
      const lines = await namespace.output(["tcpdump", "-r", path, "-n", "-q", "-tt", readFilter]);
      return lines.trim().split("\n").filter((line) => line !== "")
        .map((line) => Number(line.split(" ")[0]) * 1000);
    },
    async [Symbol.asyncDispose]() {
      await process.stop();
      await Deno.remove(path);
    },
  };
}

/** Waits until a recording has packets of each kind, which are filters by name. */
export async function recordedAll(
  recording: Recording,
  kinds: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, filter] of Object.entries(kinds)) {
    await eventually(async () => await recording.count(filter) > 0 || null, {
      interval: 100,
      what: name,
    });
  }
}

/** The kinds that a recording has packets of. */
export async function recordedKinds(
  recording: Recording,
  kinds: Readonly<Record<string, string>>,
): Promise<string[]> {
  const counts = await Promise.all(Object.values(kinds).map((filter) => recording.count(filter)));
  return Object.keys(kinds).filter((_, index) => counts[index]! > 0);
}
