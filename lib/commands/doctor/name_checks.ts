/**
 * Checks of how this host looks names up: whether the resolvers that it uses answer, and that it uses those that are
 * meant.
 */
import type { DnsResolver } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { formatAddress } from "../../core/wire/host_address.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { hostResolvConf, resolverManager } from "../../host/dns/client_dns.ts";
import { hasSameResolvers, nameServersOf, type Resolvers } from "../../host/dns/resolv_conf.ts";
import { followLinks, HOST_FILE, tryToRead } from "../../host/dns/resolv_conf_file.ts";
import { readBlockFiles } from "../../services/dns_proxy/block_files.ts";
import { errorMessage } from "../../process/errors.ts";
import { ask, askByTls, type Asked } from "./ask_resolver.ts";
import { type Check, fail, ok, type Verdict, warn } from "./check.ts";
import type { Subject } from "./subject.ts";

const PORT = 53;
/** ms */
const TIMEOUT = 2_000;
const SWITCH_FILE = "/etc/nsswitch.conf";
/** Where systemd-resolved answers (systemd-resolved.service(8)), and the directory that it has while it runs. */
const RESOLVED_STUB = "127.0.0.53";
const RESOLVED_DIRECTORY = "/run/systemd/resolve";
/** Asked for where the configuration names no host: that nobody has it is an answer as well (RFC 6761 section 6.4). */
const ANY_NAME = "vpn-doctor.invalid";

export const NAME_CHECKS: readonly Check[] = [
  { name: "resolver", look: checkResolver },
  { name: "dns-upstream", look: checkUpstreams },
  { name: "dns-route", look: checkRoutes },
  { name: "dns-block", look: checkBlockLists },
  { name: "dns-file", look: checkFile },
];

/** Asks all resolvers that programs of this host would, where the tunnel needs them, or changes them. */
async function checkResolver(subject: Subject): Promise<Verdict[]> {
  const { client, instance } = subject;
  if (client === null) return [];
  const isRunning = instance?.isOurs === true;
  const host = client.endpoints.find(({ address }) => address === null)?.host ?? null;
  if (!isRunning && host === null) return [];
  const file = hostResolvConf();
  const isResolved = file === HOST_FILE && isResolvedThere();
  const source = sourceOf(tryToRead(SWITCH_FILE), { file, text: tryToRead(file), isResolved });
  if (source.kind === "none") return [fail(source.why, source.remedy)];
  const name = host ?? ANY_NAME;
  const asked = await Promise.all(
    source.servers.map(async (server) => ({
      server,
      outcome: await ask(name, { server, port: PORT }),
    })),
  );
  const missing = isRunning ? await missingServers(subject, source) : [];
  return [
    ...missing,
    ...judgeResolvers(asked, {
      by: source.by,
      // Those of the host's own are no part of the tunnel.
      isOurs: isRunning && client.interface.dns.length > 0,
    }),
  ];
}

/** Those that `DnsProxy` asks: without them, clients have no names. */
async function checkUpstreams(subject: Subject): Promise<Verdict[]> {
  const { server } = subject;
  if (server === null || server.interface.dnsProxy.length === 0) return [];
  const { dnsProxy } = server.interface;
  return await judgeUpstreams({
    key: "DnsProxy",
    resolvers: dnsProxy,
    name: ANY_NAME,
    lost: "clients have no DNS",
    place: subject.place("DnsProxy"),
  });
}

/** Those that `DnsRoute` names, which alone know a domain. */
async function checkRoutes(subject: Subject): Promise<Verdict[]> {
  const { server } = subject;
  if (server === null || server.interface.dnsProxy.length === 0) return [];
  const verdicts = await Promise.all(
    server.interface.dnsRoutes.map(({ domain, upstreams }) =>
      judgeUpstreams({
        key: "DnsRoute",
        resolvers: upstreams,
        name: domain,
        lost: `clients have no names in ${domain}`,
        place: subject.place("DnsRoute"),
      })
    ),
  );
  return verdicts.flat();
}

async function judgeUpstreams(
  { key, resolvers, name, lost, place }: {
    readonly key: string;
    readonly resolvers: readonly DnsResolver[];
    readonly name: string;
    /** What it means if none of them answers. */
    readonly lost: string;
    readonly place: string;
  },
): Promise<Verdict[]> {
  const asked = await Promise.all(
    resolvers.map(async (resolver) => {
      const server = formatAddress(resolver.address);
      return resolver.tlsName === null
        ? { server, outcome: await ask(name, { server, port: PORT }) }
        : {
          server: `tls://${resolver.tlsName}@${server}`,
          outcome: await askByTls(name, resolver),
        };
    }),
  );
  const silent = asked.filter(({ outcome }) => outcome !== "answered");
  if (silent.length === 0) {
    return [ok(`the resolvers of ${key} answer${name === ANY_NAME ? "" : ` for ${name}`}`)];
  }
  const list = silent.map((each) => `${each.server} ${WORDS[each.outcome ?? "silent"]}`).join(", ");
  const remedy = `set ${key} to resolvers that this host can reach (${place})`;
  return silent.length === asked.length
    ? [fail(`${lost}: of the resolvers in ${key}, ${list}`, remedy)]
    : [warn(`of the resolvers in ${key}, ${list}`, remedy)];
}

/** Reads the files of `DnsBlock`, as a gateway does before it starts. */
export async function checkBlockLists(
  subject: Pick<Subject, "server" | "place">,
): Promise<Verdict[]> {
  const { server } = subject;
  if (server === null || server.interface.dnsBlock.length === 0) return [];
  const { dnsBlock, dnsProxy } = server.interface;
  if (dnsProxy.length === 0) return [];
  try {
    const list = await readBlockFiles({
      paths: dnsBlock,
      configPath: server.fileName,
      logger: null,
    });
    return [ok(`${list?.count.toLocaleString("en")} names are blocked`)];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return [fail(error.message, `correct the file, or the path (${subject.place("DnsBlock")})`)];
  }
}

/**
 * Whether `DNS` can be set, where that means to write a file: containers have it read-only, and some hosts make it
 * immutable.
 */
function checkFile(subject: Subject): Verdict[] {
  const { client, instance } = subject;
  if (client === null || instance?.isOurs === true || client.interface.dns.length === 0) return [];
  const manager = resolverManager();
  if (typeof manager === "string") return [ok(`DNS is set through ${manager}`)];
  return judgeFile(manager.file, {
    servers: client.interface.dns.map(formatIpv4),
    search: client.interface.dnsSearch.filter((name) => !name.startsWith("~")),
  }, { place: subject.place("DNS") });
}

/** Tries to open it for writing, which changes nothing. */
export function judgeFile(
  file: string,
  resolvers: Resolvers,
  { place, uid = Deno.uid() }: { readonly place: string; readonly uid?: number | null },
): Verdict[] {
  if (hasSameResolvers(tryToRead(file) ?? "", resolvers)) {
    return [ok(`${file} already contains the resolvers of DNS`)];
  }
  try {
    Deno.openSync(followLinks(file), { write: true }).close();
    return [ok(`DNS is set in ${file}, which is writable`)];
  } catch (error) {
    // One that is not there is made.
    if (error instanceof Deno.errors.NotFound) {
      return [ok(`DNS is set in ${file}, which will be created`)];
    }
    const isRoots = uid !== 0 && error instanceof Deno.errors.PermissionDenied;
    return [fail(
      `DNS (${place}) cannot be set, as ${file} is not writable: ${errorMessage(error)}`,
      isRoots
        ? `run as root, or remove DNS (${place})`
        : `\`chattr -i ${file}\` if it is immutable; in a container, start it with ` +
          `${
            resolvers.servers.map((server) => `\`--dns ${server}\``).join(" ")
          }; or remove DNS (${place})`,
    )];
  }
}

/** Which resolvers the host uses, and who says so. */
export type Source =
  | { readonly kind: "none"; readonly why: string; readonly remedy: string }
  | { readonly kind: "some"; readonly by: string; readonly servers: readonly string[] };

/**
 * What the C library does: the services of nsswitch.conf in turn, `resolve` being systemd-resolved and `dns` what
 * resolv.conf names (nsswitch.conf(5), resolv.conf(5)).
 *
 * @param resolvers `file` and its text; `isResolved`: whether systemd-resolved runs
 */
export function sourceOf(
  switchText: string | null,
  { file, text, isResolved }: {
    readonly file: string;
    readonly text: string | null;
    readonly isResolved: boolean;
  },
): Source {
  const line = /^\s*hosts:(.*)$/m.exec(switchText ?? "")?.[1];
  const services = line === undefined ? ["files", "dns"] : line.replace(/#.*/, "")
    .replaceAll(/\[[^\]]*\]/g, " ").trim().split(/\s+/);
  if (services.includes("resolve") && isResolved) {
    return { kind: "some", by: `${SWITCH_FILE} and systemd-resolved`, servers: [RESOLVED_STUB] };
  }
  if (!services.includes("dns")) {
    return {
      kind: "none",
      why: `${SWITCH_FILE} has no \`dns\` among \`hosts:${line}\`: programs cannot resolve names`,
      remedy: `add \`dns\` to the line \`hosts:\` of ${SWITCH_FILE}`,
    };
  }
  if (text === null) {
    return {
      kind: "none",
      why: `${file} does not exist, or is a broken link: names cannot be resolved`,
      remedy: `add a \`nameserver\` line to ${file}`,
    };
  }
  const servers = nameServersOf(text);
  // Without any, the C library asks this host itself.
  return { kind: "some", by: file, servers: servers.length > 0 ? servers : ["127.0.0.1"] };
}

/**
 * What the answers of resolvers mean.
 *
 * @param options `isOurs`: whether the tunnel is to have set them
 */
export function judgeResolvers(
  asked: readonly { readonly server: string; readonly outcome: Asked | null }[],
  { by, isOurs }: { readonly by: string; readonly isOurs: boolean },
): Verdict[] {
  const known = asked.filter(({ outcome }) => outcome !== null);
  const good = known.filter(({ outcome }) => outcome === "answered");
  const bad = known.filter(({ outcome }) => outcome !== "answered")
    .map(({ server, outcome }) => `${server} ${WORDS[outcome!]}`);
  if (bad.length === 0) {
    const list = good.map(({ server }) => server).join(", ");
    return good.length === 0
      ? [ok(`${by} contains only resolvers that cannot be tested`)]
      : [ok(`the resolvers of this host answer: ${list} (${by})`)];
  }
  const remedy =
    `\`getent ahostsv4 example.com\` shows what programs see; correct the resolvers (${by})`;
  return good.length === 0
    ? [(isOurs ? fail : warn)(`names cannot be resolved: ${bad.join(", ")} (${by})`, remedy)]
    : [warn(`name resolution may be seconds slower: ${bad.join(", ")} (${by})`, remedy)];
}

const WORDS: Readonly<Record<Asked, string>> = {
  answered: "answers",
  silent: "does not answer",
  failing: "answers with an error (SERVFAIL or REFUSED)",
  refused: "is unreachable, or is not a resolver",
};

/** `DNS` of a tunnel that is up, and not in use: another program has set other resolvers since. */
async function missingServers(
  subject: Subject,
  source: Extract<Source, { kind: "some" }>,
): Promise<Verdict[]> {
  const { client } = subject;
  if (client === null) return [];
  const used = source.servers.includes(RESOLVED_STUB)
    ? await resolvedServers(subject.options.interfaceName)
    : source.servers;
  const wanted = client.interface.dns.map(formatIpv4);
  return judgeUsed(wanted, { used, by: source.by, place: subject.place("DNS") });
}

/** Whether the resolvers that a host uses are those that its tunnel has set. */
export function judgeUsed(
  wanted: readonly string[],
  { used, by, place }: {
    readonly used: readonly string[];
    readonly by: string;
    readonly place: string;
  },
): Verdict[] {
  // Another resolver on this host, such as dnsmasq, asks whomever it was told to.
  if (used.length > 0 && used.every((server) => server.startsWith("127."))) return [];
  if (wanted.every((server) => used.includes(server))) return [];
  return [fail(
    `DNS (${place}) is ${wanted.join(", ")}, but this host uses ${
      used.join(", ") || "no resolver"
    } ` +
      `(${by}): another program has changed it`,
    "restart the client, and prevent the other program from changing it",
  )];
}

/** What systemd-resolved asks for a link, by its program: there is no file that says so. */
async function resolvedServers(interfaceName: string): Promise<string[]> {
  try {
    const { stdout } = await new Deno.Command("resolvectl", {
      args: ["dns", interfaceName],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      signal: AbortSignal.timeout(TIMEOUT),
    }).output();
    return new TextDecoder().decode(stdout).replace(/^[^:]*:/, "").trim().split(/\s+/);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function isResolvedThere(): boolean {
  try {
    return Deno.statSync(RESOLVED_DIRECTORY).isDirectory;
  } catch {
    return false;
  }
}
