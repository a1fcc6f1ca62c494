/**
 * Client DNS: while the tunnel is up, the host's names are looked up by the resolvers of `DNS`.
 *
 * Whoever manages the host's resolvers is asked: systemd-resolved, else `resolvconf`. Where nobody does,
 * `/etc/resolv.conf` is replaced. A network namespace with a name has `/etc/netns/NAME/resolv.conf`, which `ip netns
 * exec` puts in the place of the host's; there, the managers of the host, and the host's file, are left alone.
 */
import { basename, dirname } from "node:path";
import { openLibc } from "../../../ffi/libc.ts";
import { currentNamespaceIs, listNamespaces } from "../../../ffi/netns.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { isAllIpv4 } from "../../core/config/values/networks.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { isImmutable } from "../../../ffi/file_flags.ts";
import { findProgram } from "./programs.ts";
import { hasSameResolvers, type Resolvers } from "./resolv_conf.ts";
import {
  fileOfNamespace,
  followLinks,
  HOST_FILE,
  NoFileError,
  readNameServers,
  resolvConfChange,
  tryToRead,
} from "./resolv_conf_file.ts";
import { isResolvedInUse, RESOLVED_ADDRESSES, RESOLVED_UPSTREAMS } from "./resolved.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import type { Journal } from "../journal/journal.ts";

const OWNER_WRITES = 0o200;

export interface ClientDnsOptions {
  readonly config: ClientConfig;
  readonly interfaceName: string;
  readonly journal: Journal;
}

/** How the resolvers were set. */
export interface ClientDns {
  /** As in `systemd-resolved` or `/etc/resolv.conf`. */
  readonly by: string;
  /** Whether the undoing runs a program that may do anything. */
  readonly needsProgram: boolean;
  /** A file or directory that the undoing writes and that is not this user's; null for none. */
  readonly foreignFile: string | null;
}

/**
 * Sets the resolvers, by way of the journal, once the device is up. Null where the configuration names none.
 *
 * @throws {AppError} where they cannot be set
 */
export function setClientDns(options: ClientDnsOptions): ClientDns | null {
  const { dnsSearch } = options.config.interface;
  // A name with "~" is systemd-resolved's way to say what a link's resolvers are for.
  const search = dnsSearch.filter((name) => !name.startsWith("~"));
  const resolvers = { servers: resolversOf(options.config), search };
  if (resolvers.servers.length + dnsSearch.length === 0) return null;
  const manager = resolverManager();
  if (manager === "systemd-resolved") return setByResolved(resolvers.servers, options);
  if (manager === "resolvconf") return setByResolvconf(resolvers, options);
  return setByFile(manager.file, { ...options, resolvers });
}

/** The addresses of the tunnel's resolvers: those of IPv6 where it carries IPv6. */
export function resolversOf({ interface: { dns, dns6, addresses6 } }: ClientConfig): string[] {
  return [...dns.map(formatIpv4), ...addresses6.length > 0 ? dns6 : []];
}

/** Who is asked to set the resolvers here; where nobody manages them, the file that has them. */
export function resolverManager(): "systemd-resolved" | "resolvconf" | { readonly file: string } {
  const namespace = namespaceName();
  if (namespace !== null) return { file: fileOfNamespace(namespace) };
  if (isResolvedInUse()) return "systemd-resolved";
  const program = findProgram("resolvconf");
  // systemd has a program of that name, too; it is of no use where systemd-resolved does not run.
  const isOwn = program !== null && basename(Deno.realPathSync(program)) !== "resolvectl";
  return isOwn ? "resolvconf" : { file: HOST_FILE };
}

/**
 * Sets the resolvers of another configuration in the place of those that were set, in one go: nobody sees the host's
 * own, which would be asked past a full tunnel.
 *
 * @throws {AppError} where they cannot be set: those that were set are there then, or the host's own, where a program
 * has failed
 */
export function resetClientDns(options: ClientDnsOptions): void {
  const kinds = ["resolvectl", "resolvconf", "resolv-conf"] as const;
  options.journal.replace(kinds, () => setClientDns(options) !== null);
}

/**
 * The addresses of the resolvers that this host has before the tunnel changes that: by which the server's name can be
 * found while the tunnel is down.
 */
export function hostNameServers(): string[] {
  const namespace = namespaceName();
  const own = namespace === null ? [] : readNameServers(fileOfNamespace(namespace));
  const servers = own.length > 0 ? own : readNameServers(HOST_FILE);
  return servers.some((address) => RESOLVED_ADDRESSES.has(address))
    ? readNameServers(RESOLVED_UPSTREAMS)
    : servers;
}

/** The `resolv.conf` that programs have in this network namespace. */
export function hostResolvConf(): string {
  const namespace = namespaceName();
  const own = namespace === null ? null : fileOfNamespace(namespace);
  return own !== null && tryToRead(own) !== null ? own : HOST_FILE;
}

function setByResolved(servers: readonly string[], options: ClientDnsOptions): ClientDns {
  const { config, interfaceName, journal } = options;
  const domains = new Set(config.interface.dnsSearch);
  // All traffic through the tunnel is every name, too. Else these resolvers are asked for their domains, or for all
  // names beside the others, as systemd-resolved sees fit.
  if (isAllIpv4(config.allowedIps)) domains.add("~.");
  using netlink = Rtnetlink.open(openLibc());
  const { index } = netlink.links.get(interfaceName);
  journal.make({ kind: "resolvectl", interfaceName, index, servers, domains: [...domains] });
  return { by: "systemd-resolved", needsProgram: false, foreignFile: null };
}

function setByResolvconf(
  { servers, search }: Resolvers,
  { interfaceName, journal }: ClientDnsOptions,
): ClientDns {
  const lines = servers.map((address) => `nameserver ${address}\n`);
  if (search.length > 0) lines.push(`search ${search.join(" ")}\n`);
  // With "tun." in front, resolvconf takes it for what it is, and asks it first.
  journal.make({ kind: "resolvconf", record: `tun.${interfaceName}`, text: lines.join("") });
  return { by: "resolvconf", needsProgram: true, foreignFile: null };
}

function setByFile(
  name: string,
  { journal, resolvers }: ClientDnsOptions & { resolvers: Resolvers },
): ClientDns {
  try {
    const directory = dirname(followLinks(name));
    journal.makeDirectory(directory);
    const change = resolvConfChange(name, { ...resolvers, owner: journal.id });
    journal.make(change);
    return { by: name, needsProgram: false, foreignFile: foreignFile(directory, change.path) };
  } catch (error) {
    // As where a container was started with these resolvers.
    const isSetAlready = hasSameResolvers(tryToRead(name) ?? "", resolvers);
    if (!isSetAlready) throw cannotSet(name, error);
    return { by: `${name}, which names them already`, needsProgram: false, foreignFile: null };
  }
}

/** The file, or its directory, if it takes more to write it than to be its owner. */
function foreignFile(directory: string, path: string): string | null {
  if (Deno.statSync(directory).uid !== Deno.uid()) return directory;
  const { uid, mode } = Deno.statSync(path);
  return uid !== Deno.uid() || (mode! & OWNER_WRITES) === 0 ? path : null;
}

/** What to say of a file that cannot be written, by what keeps it from that. */
function cannotSet(name: string, error: unknown): unknown {
  const leaveOut = "or remove DNS from the configuration";
  if (error instanceof NoFileError) {
    return new AppError(`Cannot set DNS: ${error.message}: remove it, ${leaveOut}`, {
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
  const because = whyNot(followLinks(name), error);
  if (because === null) return error;
  return new AppError(`Cannot set DNS: ${name} cannot be written: ${because}, ${leaveOut}`, {
    exitCode: ExitCode.privilege,
    cause: error,
  });
}

/** What keeps a file from being written, and the remedy; null where it is nothing of the kind. */
function whyNot(path: string, error: unknown): string | null {
  if (error instanceof Error && "code" in error && error.code === "EROFS") {
    return "it is read-only: mount it writable, or start the container with these resolvers (`--dns`, or `dns:` in compose)";
  }
  const isRefused = error instanceof Deno.errors.PermissionDenied ||
    error instanceof Deno.errors.NotCapable;
  if (!isRefused) return null;
  for (const each of [path, dirname(path)]) {
    if (isImmutable(each)) return `${each} is immutable: \`chattr -i ${each}\``;
  }
  return "permission denied: run as root";
}

/** The name of the network namespace that we are in; null for that of the host, and for one without a name. */
function namespaceName(): string | null {
  const name = listNamespaces().find(currentNamespaceIs);
  return name === undefined || isNamespaceOfInit() ? null : name;
}

/** The host's own namespace may have been given a name, too (`ip netns attach`). */
function isNamespaceOfInit(): boolean {
  try {
    return Deno.readLinkSync("/proc/1/ns/net") === Deno.readLinkSync("/proc/thread-self/ns/net");
  } catch (error) {
    // Another user's process is not for us to look at.
    if (error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  }
}
