/** Owns the `[Peer]` sections: their defaults, and that no two peers claim the same thing. */
import { ipv4Prefixes, ipv6Texts, type Prefix } from "./addresses.ts";
import type { PeerConfig } from "./config.ts";
import type { Entry, Section } from "./config_document.ts";
import { ConfigError } from "./config_error.ts";
import { encodeKey } from "./key_text.ts";
import { INTERFACE_KEYS, PEER_KEYS } from "./keys.ts";
import type { Notes } from "./notes.ts";
import { badValue, readSection } from "./section.ts";

/** Reads the sections in turn. */
export class PeerReader {
  readonly peers: PeerConfig[] = [];
  readonly #notes: Notes;
  /** Who has what: entries by public key, by name and by network, all as text. */
  readonly #keys = new Map<string, Entry>();
  readonly #names = new Map<string, Entry>();
  readonly #networks = new Map<string, Entry>();

  constructor(notes: Notes) {
    this.#notes = notes;
  }

  /**
   * Reads the next section.
   *
   * @throws {ConfigError}
   */
  read(section: Section): void {
    const { values, entries } = readSection(section, PEER_KEYS, INTERFACE_KEYS);
    if (values.PublicKey === undefined) {
      throw new ConfigError(
        `${section.fileName}:${section.line}: [Peer]: PublicKey is missing: the other end prints it with \`vpn pubkey\``,
      );
    }
    this.#claimKey(values.PublicKey, entries.get("PublicKey")!);
    if (values.Name !== undefined) this.#claimName(values.Name, entries.get("Name")!);
    const networks = this.#claimNetworks(values.AllowedIPs, section);
    this.peers.push({
      publicKey: values.PublicKey,
      presharedKey: values.PresharedKey ?? null,
      allowedIps: ipv4Prefixes(networks),
      allowedIps6: ipv6Texts(networks, this.#notes),
      endpoint: values.Endpoint ?? null,
      persistentKeepalive: values.PersistentKeepalive ?? 0,
      name: values.Name ?? null,
      rateLimit: values.RateLimit ?? null,
      line: section.line,
    });
  }

  /**
   * To be called last.
   *
   * @throws {ConfigError} if a peer has the interface's own key
   */
  refuseOwnKey(publicKey: Uint8Array): void {
    const entry = this.#keys.get(encodeKey(publicKey));
    if (entry === undefined) return;
    throw new ConfigError(
      `${entry.fileName}:${entry.line}: PublicKey: this is the key of [Interface] itself: a peer has the other end's`,
    );
  }

  #claimKey(publicKey: Uint8Array, entry: Entry): void {
    const text = encodeKey(publicKey);
    const earlier = this.#keys.get(text);
    if (earlier !== undefined) {
      throw new ConfigError(
        `${entry.fileName}:${entry.line}: PublicKey: the peer with the key on line ${earlier.line} is the same one`,
      );
    }
    this.#keys.set(text, entry);
  }

  #claimName(name: string, entry: Entry): void {
    const earlier = this.#names.get(name);
    if (earlier !== undefined) {
      throw badValue(entry, `the peer on line ${earlier.line} has this name`);
    }
    this.#names.set(name, entry);
  }

  /** Each network once; one that a peer repeats is that peer's all the same. */
  #claimNetworks(networks: readonly Prefix[], section: Section): readonly Prefix[] {
    return networks.filter(({ text, entry }) => {
      const earlier = this.#networks.get(text);
      if (earlier === undefined) this.#networks.set(text, entry);
      else if (earlier.line < section.line) {
        throw badValue(entry, `it belongs to the peer on line ${earlier.line} already`, text);
      }
      return earlier === undefined;
    });
  }
}
