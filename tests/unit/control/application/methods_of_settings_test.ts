/** Shows what of a gateway's settings those may change who come in by a control socket. */
import { methodsOfSettings } from "../../../../lib/control/application/methods_of_settings.ts";
import type { SettingsText } from "../../../../lib/control/application/methods.ts";
import { RefusalError } from "../../../../lib/core/config/refusal_error.ts";
import { SettingsFile } from "../../../../lib/host/files/settings_file.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const CONSOLE = { user: 1000, isConsole: true };
const SETTINGS = `[Interface]
PrivateKey = ${sampleKeys(1).privateKey}
Address = 10.66.77.1/24
PostUp = true
DnsBlock = /var/lib/lists/ads.txt
Store = tls://nats.example.org:4222
StoreCredentials = store.nk
StoreCA = ca.pem
ControlGroup = vpn-console
`;

/** A file, and the methods about it, of a gateway that accepts whatever they do. */
class Site implements Disposable {
  readonly folder = temporaryFolder();
  readonly path = `${this.folder}/vpn0.conf`;
  readonly methods = methodsOfSettings({
    file: new SettingsFile(this.path),
    reloader: {
      preview: () => Promise.resolve({ keys: [], changes: [], restart: [], warnings: [] }),
      reload: () =>
        Promise.resolve({ file: this.path, changes: [], restart: [], problems: [], exitCode: 0 }),
    },
  });

  constructor() {
    Deno.writeTextFileSync(this.path, SETTINGS);
  }

  async shown(): Promise<string> {
    const settings = this.methods["settings"]({}, () => Promise.resolve(), signal(), CONSOLE);
    return (await settings as SettingsText).text;
  }

  change(text: string, method: "preview-settings" | "change-settings" = "change-settings") {
    const params = { text, by: "eve" };
    return this.methods[method](params, () => Promise.resolve(), signal(), CONSOLE);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

function signal(): AbortSignal {
  return new AbortController().signal;
}

hostTest(
  "who comes in by the console changes no command, no key, no store and not who may come in",
  async () => {
    using site = new Site();
    const shown = await site.shown();
    const other = sampleKeys(2).privateKey;
    for (
      const [from, to] of [
        ["PrivateKey = (secret)", `PrivateKey = ${other}`],
        ["PrivateKey = (secret)", `PrivateKey = (secret)\nprivatekey = ${other}`],
        ["PostUp = true", "PostUp = touch /tmp/x"],
        ["PostUp = true", "PostUp = true\nPost Up = touch /tmp/x"],
        ["PostUp = true", "PostUp = true\n\tPREUP= touch /tmp/x"],
        ["PostUp = true", "PostUp = true\npostdown = touch /tmp/x"],
        ["PostUp = true", ""],
        ["ControlGroup = vpn-console", "ControlGroup = users"],
        ["ControlGroup = vpn-console", ""],
        ["nats.example.org", "evil.example"],
        ["StoreCredentials = store.nk", "StoreCredentials = /etc/ssl/private/host.key"],
        ["StoreCA = ca.pem", ""],
        ["StoreCA = ca.pem", "StoreCA = ca.pem\nVirtualAddress = 192.0.2.1/24"],
      ] as const
    ) {
      for (const method of ["preview-settings", "change-settings"] as const) {
        const text = shown.replace(from, to);
        const error = await assertRejects(() => site.change(text, method), RefusalError);
        assertEquals([to, error.code], [to, "refused"]);
      }
    }
    assertEquals(Deno.readTextFileSync(site.path), SETTINGS);
  },
);

hostTest(
  "who comes in by the console has root read no file but those beside the configuration",
  async () => {
    using site = new Site();
    const shown = await site.shown();
    const blocking = (path: string) => shown.replace("PostUp", `DnsBlock = ${path}\nPostUp`);
    for (
      const path of [
        "/etc/shadow",
        "/proc/kmsg",
        "../shadow",
        `lists/../../shadow`,
        `${site.folder}/../x`,
        `${site.folder}2/x`,
        site.folder,
        ".",
      ]
    ) {
      const error = await assertRejects(() => site.change(blocking(path)), RefusalError);
      assertEquals([path, error.code], [path, "refused"]);
    }
    // What was named already stays, and may go.
    await site.change(shown.replace("Address", "DnsBlock = lists/more.txt\nAddress"));
    await site.change(shown.replace("Address", `DnsBlock = ${site.folder}/ads.txt\nAddress`));
    await site.change(shown.replace("DnsBlock = /var/lib/lists/ads.txt\n", ""));
  },
);
