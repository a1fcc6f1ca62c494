/** Headless Chromium for tests of the console's page, and what it has to say against a page. */
import type { Browser, BrowserContext, CDPSession, Page } from "playwright-core";
import type { TestNamespace } from "../net.ts";
import { PATIENCE } from "../time/patience.ts";
import { errorMessage } from "../../../lib/process/errors.ts";
import { temporaryFolder } from "../folder.ts";

/** Where Debian puts it. */
const EXECUTABLE = "/usr/bin/chromium";

export interface View {
  readonly width: number;
  readonly height: number;
  readonly scheme: "light" | "dark";
}

/** One that is as a person has it on a desk. */
export const DESK: View = { width: 1440, height: 900, scheme: "light" };

export class Chromium implements AsyncDisposable {
  readonly #browser: Browser;
  /** What pages have reported, violations of their policy among it. */
  readonly complaints: string[] = [];
  /** The bodies of what pages have sent. */
  readonly sent: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** @param namespace that it runs in; the test's own where it is null */
  static async start(namespace: TestNamespace | null): Promise<Chromium> {
    // Not above: it looks at the environment when it is imported.
    const { chromium } = await import("playwright-core");
    const program = `${temporaryFolder()}/chromium`;
    const where = namespace === null ? "" : `ip netns exec ${namespace.name} `;
    Deno.writeTextFileSync(program, `#!/bin/sh\nexec ${where}${EXECUTABLE} "$@"\n`, {
      mode: 0o755,
    });
    const browser = await chromium.launch({
      executablePath: program,
      // Its sandbox refuses root; what it shows here is ours.
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    });
    return new Chromium(browser);
  }

  /** A window of its own, without cookies but the one that is given, as `name=value`. */
  async page(origin: string, view: View, cookie: string | null = null): Promise<Page> {
    const { width, height, scheme } = view;
    const context = await this.#browser.newContext({
      viewport: { width, height },
      colorScheme: scheme,
      reducedMotion: "reduce",
    });
    context.setDefaultTimeout(PATIENCE);
    if (cookie !== null) await addCookie(context, origin, cookie);
    const page = await context.newPage();
    page.on("pageerror", (error) => this.complaints.push(error.stack ?? error.message));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.complaints.push(message.text());
    });
    page.on("request", (request) => {
      this.sent.push(request.postData() ?? "");
      if (!/^(?:data|blob):/.test(request.url()) && new URL(request.url()).origin !== origin) {
        this.complaints.push(`it asks another: ${request.url()}`);
      }
    });
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

async function addCookie(context: BrowserContext, origin: string, cookie: string): Promise<void> {
  const at = cookie.indexOf("=");
  await context.addCookies([{
    name: cookie.slice(0, at),
    value: cookie.slice(at + 1),
    url: origin,
    httpOnly: true,
    sameSite: "Strict",
  }]);
}

/** Runs what a test does with a page; where that fails, its error also has where the page is and what it says. */
export async function explained<Result>(page: Page, body: () => Promise<Result>): Promise<Result> {
  try {
    return await body();
  } catch (cause) {
    const text = await page.locator("body").innerText().catch((error) => `${error}`);
    const reason = errorMessage(cause);
    throw new Error(`${reason}\nThe page at ${page.url()} says:\n${text}`, { cause });
  }
}

/** Whether anything of the page lies beside what is seen, so that one would have to scroll sideways. */
export function isTooWide(page: Page): Promise<boolean> {
  return page.evaluate("document.documentElement.scrollWidth > innerWidth");
}

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/**
 * What axe-core has to say against a page that keeps people out: its serious and critical violations.
 *
 * @param rules all of them where it is null
 */
export async function barriers(page: Page, rules: readonly string[] | null): Promise<string[]> {
  if (await page.evaluate("typeof axe") === "undefined") {
    const { default: axe } = await import("axe-core");
    await page.evaluate(axe.source);
  }
  const only = rules === null ? "" : `, runOnly: ${JSON.stringify(rules)}`;
  const { violations } = await page.evaluate(
    `axe.run({ resultTypes: ["violations"]${only} })`,
  ) as { violations: Violation[] };
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes[0]!.html} ${nodes[0]!.failureSummary}`);
}

/** Of the trace event format, as far as it is read here; durations in µs of the thread's own time. */
interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/** What a page has cost its main thread: time of the processor, which other things on the machine do not add to. */
export class MainThread {
  readonly #page: CDPSession;
  readonly #browser: CDPSession;

  private constructor(page: CDPSession, browser: CDPSession) {
    this.#page = page;
    this.#browser = browser;
  }

  static async of(page: Page): Promise<MainThread> {
    const session = await page.context().newCDPSession(page);
    await session.send("Performance.enable", { timeDomain: "threadTicks" });
    await session.send("Network.enable");
    return new MainThread(session, await page.context().browser()!.newBrowserCDPSession());
  }

  /** ms of all tasks since the page was opened. */
  async time(): Promise<number> {
    const { metrics } = await this.#page.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")!.value * 1000;
  }

  /** Waits for the next server-sent event. */
  nextEvent(): Promise<void> {
    return new Promise((resolve) =>
      this.#page.once("Network.eventSourceMessageReceived", () => resolve())
    );
  }

  /** ms of each task while something goes on. */
  async tasks(during: () => Promise<void>): Promise<number[]> {
    const events: TraceEvent[] = [];
    this.#browser.on("Tracing.dataCollected", ({ value }) => {
      events.push(...value as unknown as TraceEvent[]);
    });
    const complete = new Promise((resolve) =>
      this.#browser.once("Tracing.tracingComplete", resolve)
    );
    const traceConfig = {
      includedCategories: ["toplevel", "disabled-by-default-devtools.timeline"],
    };
    await this.#browser.send("Tracing.start", { transferMode: "ReportEvents", traceConfig });
    await during();
    await this.#browser.send("Tracing.end");
    await complete;
    const mains = new Set(
      events.filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
        .map(({ pid, tid }) => `${pid} ${tid}`),
    );
    return events.filter(({ name, pid, tid }) =>
      /\bRunTask$/.test(name) && mains.has(`${pid} ${tid}`)
    )
      .map(({ tdur = 0 }) => tdur / 1000);
  }
}

/** ms from the start of loading until something is seen (Paint Timing), by the clock on the wall. */
export function firstPaint(page: Page): Promise<number> {
  return page.evaluate(
    "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity",
  );
}
