/** Console fixture: a console on loopback with a fake gateway, and browsers and programs that ask it. */
import { Console, type ConsoleOptions } from "../../../lib/console/console.ts";
import { API_PATH } from "../../../lib/console/api/openapi.ts";
import { FakeGateway } from "./fake_gateway.ts";
import { temporaryFolder } from "../folder.ts";

/** That of real ones takes half a second. */
const COST = { N: 2, r: 1, p: 1 };
export const PASSWORD = "correct horse battery";

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // deno-lint-ignore no-explicit-any -- each test knows what it has asked for
  readonly body: any;
}

export interface Ask {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is, in place of `body`. */
  readonly raw?: string;
}

export class ConsoleFixture implements AsyncDisposable {
  readonly console: Console;
  readonly gateway: FakeGateway;
  readonly folder: string;
  /** Unix ms. */
  readonly clock: { now: number; monotonic: number };
  readonly faults: unknown[];

  private constructor(
    fields: Pick<ConsoleFixture, "console" | "gateway" | "folder" | "clock" | "faults">,
  ) {
    this.console = fields.console;
    this.gateway = fields.gateway;
    this.folder = fields.folder;
    this.clock = fields.clock;
    this.faults = fields.faults;
  }

  static async open(options: Partial<ConsoleOptions> = {}): Promise<ConsoleFixture> {
    const folder = options.folder ?? temporaryFolder();
    const gateway = new FakeGateway();
    const clock = { now: Date.UTC(2026, 10, 29), monotonic: 0 };
    const faults: unknown[] = [];
    const console = await Console.open({
      listen: { address: "127.0.0.1", port: 0 },
      tls: null,
      publicOrigin: null,
      trustedProxies: [],
      folder,
      gateway,
      page: new Map(),
      version: "1.2.3",
      now: () => clock.now,
      monotonic: () => clock.monotonic,
      passwordCost: COST,
      onFault: (error) => faults.push(error),
      ...options,
    });
    return new ConsoleFixture({ console, gateway, folder, clock, faults });
  }

  get origin(): string {
    return this.console.origin;
  }

  /** The set-up link's secret. */
  get setupToken(): string {
    return this.console.setupLink!.split("/").at(-1)!;
  }

  /** @param origin by which it reaches the console */
  browser(origin = this.origin): Browser {
    return new Browser(origin);
  }

  /** One that has set the console up, and is logged in as its first admin. */
  async admin(): Promise<Browser> {
    const browser = this.browser();
    const body = { token: this.setupToken, name: "root", password: PASSWORD };
    const { status, text } = await browser.ask("POST", "/setup", { body });
    if (status !== 201) throw new Error(`Cannot set up: ${text}`);
    return browser;
  }

  /** One that is logged in with another role. */
  async user(admin: Browser, name: string, role: string): Promise<Browser> {
    await admin.ask("POST", "/accounts", { body: { name, role, password: PASSWORD } });
    const browser = this.browser();
    const { status, text } = await browser.ask("POST", "/login", {
      body: { name, password: PASSWORD },
    });
    if (status !== 200) throw new Error(`Cannot log in: ${text}`);
    return browser;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.console[Symbol.asyncDispose]();
  }
}

/** Asks as a browser does, from a page of the console's own: with its cookie, and Origin. */
export class Browser {
  readonly origin: string;
  /** Of its session, and the one by which it is known at the next login. */
  cookie: string | null = null;
  device: string | null = null;

  constructor(origin: string) {
    this.origin = origin;
  }

  /** @param path under `/api/v1` */
  async ask(method: string, path: string, { body, raw, headers = {} }: Ask = {}): Promise<Reply> {
    const cookies = [this.cookie, this.device].filter((each) => each !== null);
    const isChange = method !== "GET" && method !== "HEAD";
    const response = await fetch(`${this.origin}${API_PATH}${path}`, {
      method,
      headers: {
        ...(isChange ? { Origin: this.origin } : {}),
        ...(cookies.length === 0 ? {} : { Cookie: cookies.join("; ") }),
        ...(body === undefined && raw === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: raw ?? (body === undefined ? null : JSON.stringify(body)),
      redirect: "manual",
    });
    for (const set of response.headers.getSetCookie()) {
      const pair = set.split(";")[0]!;
      const kept = pair.endsWith("=") ? null : pair;
      if (pair.includes("vpn_device")) this.device = kept;
      else this.cookie = kept;
    }
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("content-type") ?? "");
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson && text !== "" ? JSON.parse(text) : null,
    };
  }
}

/** Asks as a program does, with a token. */
export function program(origin: string, token: string): (
  method: string,
  path: string,
  ask?: Ask,
) => Promise<Reply> {
  const client = new Browser(origin);
  return (method, path, ask = {}) =>
    client.ask(method, path, {
      ...ask,
      headers: { Origin: "", Authorization: `Bearer ${token}`, ...ask.headers },
    });
}
