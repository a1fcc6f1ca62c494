/** Console: the web server of the page and the API, from its options to its end. */
import { bracketed } from "../core/wire/host_address.ts";
import { Database } from "./accounts/database.ts";
import { setupLinkOf } from "./accounts/setup_token.ts";
import type { ScryptCost } from "./accounts/passwords.ts";
import { Api } from "./api/api.ts";
import { API_PATH } from "./api/openapi.ts";
import { type ConsoleServices, consoleServices } from "./console_services.ts";
import type { ConsoleGateway } from "./gateway/gateway.ts";
import { secured } from "./http/headers.ts";
import { Listener, type ListenerTimes } from "./http/listener.ts";
import { Origins } from "./http/origin.ts";
import { pageAnswer, type PageFiles } from "./http/page.ts";
import { Problem } from "./http/problem.ts";

export interface ConsoleOptions {
  readonly listen: { readonly address: string; readonly port: number };
  /** PEM; null for plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** As in `https://vpn.example.com`; null where it is reached by an address. */
  readonly publicOrigin: string | null;
  readonly trustedProxies: readonly string[];
  /** Folder of its state, which is made where there is none. */
  readonly folder: string;
  readonly gateway: ConsoleGateway;
  readonly page: PageFiles;
  readonly version: string;
  /** The wall clock, Unix ms; and a monotonic one, ms. */
  readonly now?: () => number;
  readonly monotonic?: () => number;
  readonly times?: ListenerTimes;
  readonly passwordCost?: ScryptCost;
  /** Is told of what the console has got wrong. */
  readonly onFault: (error: unknown) => void;
}

export class Console implements AsyncDisposable {
  /** By which it is reached. */
  readonly origin: string;
  /** By which the first account is made; null where there is one. */
  readonly setupLink: string | null;
  /** The port that it listens on. */
  readonly port: number;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    { origin, setupLink, port }: Pick<Console, "origin" | "setupLink" | "port">,
    resources: AsyncDisposableStack,
  ) {
    this.origin = origin;
    this.setupLink = setupLink;
    this.port = port;
    this.#resources = resources;
  }

  /** Serves from now on. @throws {AppError} where it cannot */
  static async open(options: ConsoleOptions): Promise<Console> {
    const { listen, tls, publicOrigin, trustedProxies, now = Date.now } = options;
    await using resources = new AsyncDisposableStack();
    const database = resources.use(new Database(options.folder));
    const monotonic = options.monotonic ?? (() => performance.now());
    const services = consoleServices({ ...options, database, now, monotonic });
    resources.use(services.feed);
    const origins = new Origins({ publicOrigin, hasTls: tls !== null, trustedProxies });
    const answer = answerer(options, services, origins);
    const listener = resources.use(await Listener.open({ ...listen, ...options, tls, answer }));
    const origin = publicOrigin ??
      `${tls === null ? "http" : "https"}://${
        bracketed(reachable(listen.address))
      }:${listener.port}`;
    const token = services.accounts.isEmpty ? services.setup.newToken() : null;
    const setupLink = token === null ? null : setupLinkOf(origin, token);
    return new Console({ origin, setupLink, port: listener.port }, resources.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** An address that stands for all of the host's is none that can be reached. */
function reachable(address: string): string {
  if (address === "0.0.0.0") return "127.0.0.1";
  return address === "::" ? "::1" : address;
}

function answerer(
  { page, publicOrigin, tls, onFault }: ConsoleOptions,
  services: ConsoleServices,
  origins: Origins,
): (request: Request, peer: string) => Promise<Response> {
  const api = new Api(services, origins);
  const isSecure = tls !== null || (publicOrigin?.startsWith("https:") ?? false);
  const answer = async (request: Request, peer: string): Promise<Response> => {
    const origin = origins.own(request);
    if (origin === null) {
      return new Problem(
        "misdirected",
        "The console does not have this name: start it with --origin and the name.",
      ).response();
    }
    const { pathname } = new URL(request.url);
    if (pathname.startsWith(`${API_PATH}/`)) {
      const source = origins.source(request, peer);
      return await api.fetch(request, { source, origin, isSecure });
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Problem("method", "Use GET.").response();
    }
    return pageAnswer(request, page) ??
      new Problem("not-found", "There is nothing at this address.").response();
  };
  return async (request, peer) => {
    try {
      return secured(await answer(request, peer), { isSecure });
    } catch (error) {
      onFault(error);
      // What has gone wrong is the log's to say, not a stranger's to know.
      const problem = new Problem("internal", "The console has failed: its log says how.");
      return secured(problem.response(), { isSecure });
    }
  };
}
