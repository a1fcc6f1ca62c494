/** A console with a made-up gateway and a browser before it, for tests of the page. */
import type { Page } from "playwright-core";
import { pageFiles } from "../../../lib/console/page_files.ts";
import { BusyGateway, type BusyGatewayOptions } from "./busy_gateway.ts";
import { Chromium, DESK, type View } from "./chromium.ts";
import { ConsoleFixture } from "./console_fixture.ts";

/** Made once for all tests of a process. */
let files: ReturnType<typeof pageFiles> | undefined;

export class PageSite implements AsyncDisposable {
  readonly chromium: Chromium;
  readonly gateway: BusyGateway;
  readonly fixture: ConsoleFixture;
  /** Of the first admin's session. */
  readonly cookie: string;
  readonly #resources: AsyncDisposableStack;

  private constructor(
    fields: Pick<PageSite, "chromium" | "gateway" | "fixture" | "cookie">,
    resources: AsyncDisposableStack,
  ) {
    this.chromium = fields.chromium;
    this.gateway = fields.gateway;
    this.fixture = fields.fixture;
    this.cookie = fields.cookie;
    this.#resources = resources;
  }

  /** @param options the gateway's; its clock is that on the wall if left out */
  static async open(
    options: Omit<BusyGatewayOptions, "now"> & Partial<Pick<BusyGatewayOptions, "now">>,
  ): Promise<PageSite> {
    await using resources = new AsyncDisposableStack();
    const gateway = new BusyGateway({ now: Date.now, ...options });
    const fixture = resources.use(
      await ConsoleFixture.open({
        gateway,
        page: await (files ??= pageFiles()),
        now: Date.now,
        monotonic: () => performance.now(),
      }),
    );
    const { cookie } = await fixture.admin();
    const chromium = resources.use(await Chromium.start(null));
    return new PageSite({ chromium, gateway, fixture, cookie: cookie! }, resources.move());
  }

  /** A window of the admin's, on a screen. @param path as in `#/peers` */
  async page(path: string, view: View = DESK): Promise<Page> {
    const page = await this.chromium.page(this.fixture.origin, view, this.cookie);
    await page.goto(`${this.fixture.origin}/${path}`);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** The screens of an admin, by names for files. */
export const SCREENS: Readonly<Record<string, string>> = {
  overview: "#/",
  peers: "#/peers",
  access: "#/access",
  gateways: "#/gateways",
  dns: "#/dns",
  events: "#/events",
  accounts: "#/accounts",
  account: "#/account",
  tokens: "#/tokens",
  settings: "#/settings",
};

/** Goes to a screen of the same page, and waits until all that it fetches is there. */
export async function show(page: Page, path: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(path)}`);
  await page.locator("main h1").waitFor();
  await page.locator("main .wait").first().waitFor({ state: "detached" });
}
