/** Subject of `vpn doctor`: a configuration, the role that it is for, and the host's network where it is to run. */
import { openLibc } from "../../../ffi/libc.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { Role } from "../../cli/command.ts";
import type { ClientConfig, Config, ServerConfig } from "../../core/config/config.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { isAllIpv4 } from "../../core/config/values/networks.ts";
import {
  CLIENT_ONLY_KEYS,
  SERVER_ONLY_KEYS,
  validateClient,
  validateServer,
} from "../../core/config/roles.ts";
import { loadConfig } from "../../host/files/config_file.ts";
import { Firewall } from "./firewall/firewall.ts";
import { findTunnelOwner, type TunnelOwner } from "./instance.ts";
import { type EndpointReach, tryEndpoints } from "./reach.ts";
import { askRunning, type Running } from "./running.ts";

export interface SubjectOptions {
  /** Null to examine the host alone. */
  readonly configPath: string | null;
  /** The other side's; null where it is not at hand. */
  readonly otherConfigPath: string | null;
  /** Null to tell by what the configuration has. */
  readonly role: Role | null;
  readonly interfaceName: string;
  /** The namespace that the thread has entered, if it was told to: for the commands that fix something there. */
  readonly netns: string | null;
}

/** All that checks look at; each looks at the host itself. */
export class Subject implements Disposable {
  readonly options: SubjectOptions;
  readonly netlink: Rtnetlink = Rtnetlink.open(openLibc());
  readonly role: Role | null = null;
  /** At most one of them is there, as the role is. */
  readonly server: ServerConfig | null = null;
  readonly client: ClientConfig | null = null;
  /** What is wrong with the configuration; null where it is right, or none was given. */
  readonly problem: ConfigError | null = null;
  /** Ours, or anybody's, that has the interface; null where nobody has. */
  readonly instance: TunnelOwner | null;
  #ways: Promise<readonly EndpointReach[]> | null = null;
  #running: Promise<Running> | null = null;
  #firewall: Promise<Firewall> | null = null;

  constructor(options: SubjectOptions) {
    this.options = options;
    this.instance = findTunnelOwner(options.interfaceName);
    if (options.configPath === null) return;
    try {
      const config = loadConfig(options.configPath);
      this.role = options.role ?? roleOf(config);
      if (this.role === "server") this.server = validateServer(config);
      else this.client = validateClient(config);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.problem = error;
    }
  }

  /** The configuration, whatever its role. */
  get config(): ServerConfig | ClientConfig | null {
    return this.server ?? this.client;
  }

  /** The trials of the ways to the server, one by each endpoint, carried out once; none for a gateway. */
  ways(): Promise<readonly EndpointReach[]> {
    if (this.client === null) return Promise.resolve([]);
    return this.#ways ??= tryEndpoints(this.client, this.netlink);
  }

  /** What the instance of ours says that has the interface; it is asked once. */
  running(): Promise<Running> {
    return this.#running ??= askRunning(this.options.interfaceName);
  }

  /**
   * The firewalls of others on this host, read once.
   *
   * @throws {NetlinkError} EPERM without CAP_NET_ADMIN
   */
  firewall(): Promise<Firewall> {
    return this.#firewall ??= Firewall.read(this.netlink.links);
  }

  /**
   * The other side's configuration; null where it is not at hand.
   *
   * @throws {ConfigError}
   */
  other(): Config | null {
    const { otherConfigPath } = this.options;
    return otherConfigPath === null ? null : loadConfig(otherConfigPath);
  }

  /** Where a key of `[Interface]` stands, or would: as in `server.conf:4`. */
  place(key: string): string {
    const fileName = this.config?.fileName ?? "the configuration";
    const line = this.config?.interface.lines.get(key);
    return line === undefined ? `[Interface] of ${fileName}` : `${fileName}:${line}`;
  }

  /** A command as it must be given to act where the tunnel runs. */
  command(text: string): string {
    const { netns } = this.options;
    return netns === null ? `\`${text}\`` : `\`ip netns exec ${netns} ${text}\``;
  }

  [Symbol.dispose](): void {
    this.netlink[Symbol.dispose]();
  }
}

/**
 * A client knows the place of a peer that everything goes to, or of all its peers; then it has seldom a port that
 * others know. One that it has nevertheless may be what wg-quick saved of a run: what only a client has, or that it
 * keeps the way to its only peer open, tells it from a gateway.
 */
export function roleOf({ peers, interface: { listenPort, lines } }: Config): Role {
  const called = peers.filter(({ endpoint, zonedEndpoint }) =>
    (endpoint ?? zonedEndpoint) !== null
  );
  if (called.some(({ allowedIps }) => isAllIpv4(allowedIps))) return "client";
  if (called.length === 0 || called.length < peers.length) return "server";
  if (listenPort === null) return "client";
  const has = (keys: readonly string[]) => keys.some((key) => lines.has(key));
  if (has(SERVER_ONLY_KEYS)) return "server";
  const keepsOpen = peers.length === 1 && peers[0]!.persistentKeepalive > 0;
  return keepsOpen || has(CLIENT_ONLY_KEYS) ? "client" : "server";
}
