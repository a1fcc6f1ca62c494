/**
 * Origin: by which address the console is reached, and who asks. A page of another origin can neither read what is
 * answered nor have anything changed.
 */
import { BlockList, isIP } from "node:net";
import { plainAddress } from "../../core/wire/source_key.ts";

export interface OriginOptions {
  /** As in `https://vpn.example.com`, where it is known: behind a proxy, or with a name. */
  readonly publicOrigin: string | null;
  /** Whether connections are TLS here. */
  readonly hasTls: boolean;
  /** Addresses, or networks as in `10.0.0.0/8`, of reverse proxies, who say for whom they ask. */
  readonly trustedProxies: readonly string[];
}

export class Origins {
  readonly #options: OriginOptions;
  readonly #proxies = new BlockList();

  constructor(options: OriginOptions) {
    this.#options = options;
    for (const proxy of options.trustedProxies) {
      const [address = "", length] = proxy.split("/");
      const family = isIP(address) === 6 ? "ipv6" : "ipv4";
      if (length === undefined) this.#proxies.addAddress(address, family);
      else this.#proxies.addSubnet(address, Number(length), family);
    }
  }

  /**
   * The console's own origin, as this request has reached it; null where its host is none of ours.
   *
   * Without a name of its own, it is reached by an address or as localhost: a page of some other name that a resolver
   * has point here (DNS rebinding) is of the same origin for its browser, and has that name as its host.
   */
  own(request: Request): string | null {
    const { publicOrigin, hasTls } = this.#options;
    const { host, hostname } = new URL(request.url);
    if (publicOrigin !== null) return new URL(publicOrigin).host === host ? publicOrigin : null;
    const address = hostname.replace(/^\[(.*)\]$/, "$1");
    if (hostname !== "localhost" && isIP(address) === 0) return null;
    return `${hasTls ? "https" : "http"}://${host}`;
  }

  /** Whether a request, by a browser, comes from a page of our own. */
  isOwn(request: Request, own: string): boolean {
    const origin = request.headers.get("origin");
    // Browsers send it with every method but GET and HEAD.
    return origin === own;
  }

  /**
   * From where a request comes.
   *
   * @param peer address of the other end of the connection; only what a trusted proxy says of others counts
   */
  source(request: Request, peer: string): string {
    const forwarded = (request.headers.get("x-forwarded-for") ?? "").split(",").map((each) =>
      each.trim()
    );
    let source = plainAddress(peer);
    // From the right: each proxy appends whom it has it from, and what a client has made up stands further left.
    while (this.#isProxy(source)) {
      const before = addressIn(forwarded.pop() ?? "");
      if (before === null) break;
      source = plainAddress(before);
    }
    return source;
  }

  #isProxy(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#proxies.check(address, family === 6 ? "ipv6" : "ipv4");
  }
}

/** The address that a proxy has put down, as some do with a port; null for what is none. */
function addressIn(text: string): string | null {
  const [, bracketed, dotted] = /^(?:\[([\da-f:.]+)\]|([\d.]+))(?::\d{1,5})?$/i.exec(text) ?? [];
  const address = bracketed ?? dotted ?? text;
  return isIP(address) === 0 ? null : address;
}
