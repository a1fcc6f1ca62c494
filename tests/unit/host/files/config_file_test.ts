/** Shows what reading a configuration file refuses and warns of. */
import { loadConfig, loadConfigAgain } from "../../../../lib/host/files/config_file.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "../../../support/assert.ts";
import { emptyFile, temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const TEXT = `[Interface]\nPrivateKey = ${btoa("k".repeat(32))}\n`;

/** Runs `test` with the path of a file of this content and mode, which is gone afterwards. */
function withFile(
  content: string | Uint8Array,
  mode: number,
  test: (path: string) => void,
): void {
  const path = emptyFile({ suffix: ".conf" });
  Deno.writeFileSync(
    path,
    typeof content === "string" ? new TextEncoder().encode(content) : content,
  );
  Deno.chmodSync(path, mode);
  test(path);
}

function messageOf(path: string): string {
  return assertThrows(() => loadConfig(path), ConfigError).message;
}

hostTest("loadConfig() reads a file without warning when its owner alone can read it", () => {
  for (const mode of [0o600, 0o400, 0o700]) {
    withFile(TEXT, mode, (path) => {
      const config = loadConfig(path);
      assertEquals(config.fileName, path);
      assertEquals(config.warnings, []);
    });
  }
});

hostTest("loadConfig() warns when others can read or write the file", () => {
  for (const mode of [0o640, 0o604, 0o620, 0o602]) {
    withFile(TEXT, mode, (path) => {
      assertEquals(loadConfig(path).warnings, [
        `${path}: other users can read or write this file, which contains keys: run \`chmod 600\` on it`,
      ]);
    });
  }
});

hostTest("loadConfig() knows the host's names of ports and routing tables", () => {
  withFile(`${TEXT}ListenPort = domain\nTable = default`, 0o600, (path) => {
    const { listenPort, table } = loadConfig(path).interface;
    assertEquals([listenPort, table], [53, 253]);
  });
});

hostTest("loadConfig() names the file as it was given when it has a mistake", () => {
  withFile(`${TEXT}MTU = 1`, 0o600, (path) => {
    assertEquals(
      messageOf(path),
      `${path}:3: MTU: cannot use "1": an MTU is "auto", or 576 to 65455`,
    );
  });
});

hostTest("loadConfig() says why when the file cannot be read", () => {
  const directory = temporaryFolder();
  assertEquals(
    messageOf(`${directory}/no.conf`),
    `Cannot read configuration "${directory}/no.conf": no such file: give one with --config FILE`,
  );
  assertEquals(
    messageOf(directory),
    `Cannot read configuration "${directory}": it is a directory`,
  );
  Deno.writeTextFileSync(`${directory}/file`, "");
  assertEquals(
    messageOf(`${directory}/file/x.conf`),
    `Cannot read configuration "${directory}/file/x.conf": a part of its path is not a directory`,
  );
});

hostTest("loadConfig() says why when the content is no text or too long", () => {
  withFile(Uint8Array.of(0x5b, 0xff, 0xfe), 0o600, (path) => {
    assertEquals(
      messageOf(path),
      `Cannot read configuration "${path}": it is not UTF-8 text: save it in UTF-8`,
    );
  });
  const limit = 1024 * 1024;
  withFile(TEXT.padEnd(limit, "#"), 0o600, (path) => assert(loadConfig(path)));
  withFile(TEXT.padEnd(limit + 1, "#"), 0o600, (path) => {
    assertEquals(messageOf(path), `Cannot read configuration "${path}": it is longer than 1 MiB`);
  });
});

hostTest("loadConfig() takes comments in any encoding, as wg-quick does", () => {
  const latin1 = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  withFile(latin1(`# B\u00fcro\n${TEXT}\nMTU = 1400 # B\u00fcro\n`), 0o600, (path) => {
    assertEquals(loadConfig(path).interface.mtu, 1400);
  });
  withFile(latin1(`${TEXT}\nPostUp = echo B\u00fcro\n`), 0o600, (path) => {
    assertStringIncludes(messageOf(path), "it is not UTF-8 text");
  });
});

hostTest("loadConfigAgain() waits for no pipe, and reads none twice", () => {
  const path = emptyFile({ suffix: ".conf" });
  Deno.writeTextFileSync(path, TEXT, { mode: 0o600 });
  assert(loadConfigAgain(path, "leave"));
  Deno.removeSync(path);
  assert(new Deno.Command("mkfifo", { args: [path] }).outputSync().success);
  assertStringIncludes(
    assertThrows(() => loadConfigAgain(path, "leave"), ConfigError).message,
    "it is not a regular file",
  );
});

hostTest("loadConfig() says why when the file may not be read", async () => {
  // Root reads whatever it likes, unless it gives up the capabilities for that.
  const asOwner = Deno.uid() === 0
    ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    : ["env"];
  const [wrapper, ...options] = asOwner as [string, ...string[]];
  if (!await succeeds(wrapper, [...options, "true"])) {
    // deno-lint-ignore no-console -- a test that is skipped says so
    console.log(`skipped: "${asOwner.join(" ")}" does not work here`);
    return;
  }
  const path = emptyFile({ suffix: ".conf" });
  const module = new URL("../../../../lib/host/files/config_file.ts", import.meta.url);
  const program = `
    import { loadConfig, loadConfigAgain } from ${JSON.stringify(module.href)};
    try { loadConfig(${JSON.stringify(path)}); } catch (error) { console.log(error.message); }
  `;
  await Deno.chmod(path, 0);
  const { stdout, stderr } = await new Deno.Command(wrapper, {
    args: [...options, Deno.execPath(), "eval", "--quiet", program],
  }).output();
  assertEquals(
    new TextDecoder().decode(stdout),
    `Cannot read configuration "${path}": permission denied: run as its owner or as root\n`,
    new TextDecoder().decode(stderr),
  );
});

/** Whether a program exists and exits with 0. */
async function succeeds(program: string, args: readonly string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args: [...args] }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
