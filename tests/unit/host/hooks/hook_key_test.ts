/** Keys that commands of the configuration set: they are had before the handshake, and no reader runs the commands. */
import { loadConfig } from "../../../../lib/host/files/config_file.ts";
import { roleOfTarget } from "../../../../lib/commands/up/tunnel_target.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const KEY = encodeKey(new Uint8Array(32).fill(7));
const RUN = { interfaceName: "vpn7" };

/** Runs `test` with the path of a configuration with these lines, in a folder of its own that is gone afterwards. */
function withConfig(
  lines: (folder: string) => readonly string[],
  test: (path: string, folder: string) => void,
): void {
  const folder = temporaryFolder();
  const path = `${folder}/a.conf`;
  Deno.writeTextFileSync(path, ["[Interface]", ...lines(folder)].join("\n"), { mode: 0o600 });
  Deno.writeTextFileSync(`${folder}/vpn7.key`, `${KEY}\n`);
  test(path, folder);
}

hostTest(
  "loadConfig() has the key that a command sets, from a file, a substitution or a pipe, and that command is done",
  () => {
    const commands = [
      (folder: string) => `wg set %i private-key ${folder}/%i.key`,
      (folder: string) => `wg set %i private-key <(cat "${folder}/%i.key")`,
      (folder: string) => `cat ${folder}/vpn7.key | wg set vpn7 private-key /dev/stdin`,
    ];
    for (const command of commands) {
      for (const key of ["PreUp", "PostUp"]) {
        withConfig((folder) => [`${key} = true`, `${key} = ${command(folder)}`], (path) => {
          const section = loadConfig(path, RUN).interface;
          assertEquals(encodeKey(section.privateKey), KEY);
          assertEquals([...section.preUp, ...section.postUp].map(({ command }) => command), [
            "true",
          ]);
        });
      }
    }
  },
);

hostTest(
  "loadConfig() leaves a command to run that does more than to set the key, and one beside PrivateKey",
  () => {
    withConfig((folder) => [`PostUp = true; wg set %i private-key ${folder}/vpn7.key`], (path) => {
      const section = loadConfig(path, RUN).interface;
      assertEquals([encodeKey(section.privateKey), section.postUp.length], [KEY, 1]);
    });
    withConfig(() => [`PrivateKey = ${KEY}`, "PostUp = wg set %i private-key /none"], (path) => {
      assertEquals(loadConfig(path, RUN).interface.postUp.length, 1);
    });
  },
);

hostTest(
  "loadConfig() has the preshared keys that commands set, in the place of the file's, for the peers in it",
  () => {
    const peer = encodeKey(new Uint8Array(32).fill(9));
    const stranger = encodeKey(new Uint8Array(32).fill(8));
    const cases: [command: string, key: string | null, left: number][] = [
      ["wg set %i peer PEER preshared-key FOLDER/%i.key", KEY, 0],
      ["cat FOLDER/vpn7.key | wg set %i peer PEER preshared-key /dev/stdin", KEY, 0],
      ["wg set %i peer PEER preshared-key <(cat FOLDER/%i.key); true", KEY, 1],
      // As `wg` has it, an empty file takes the key away.
      ["wg set %i peer PEER preshared-key /dev/null", null, 0],
      ["wg set %i peer PEER preshared-key /none || true", peer, 1],
      [`wg set %i peer ${stranger} preshared-key FOLDER/%i.key`, peer, 1],
    ];
    for (const [command, key, left] of cases) {
      withConfig((folder) => [
        `PrivateKey = ${KEY}`,
        `PostUp = ${command.replace("PEER", peer).replace("FOLDER", folder)}`,
        "[Peer]",
        `PublicKey = ${peer}`,
        `PresharedKey = ${peer}`,
      ], (path) => {
        const { interface: { postUp }, peers } = loadConfig(path, RUN);
        const { presharedKey } = peers[0]!;
        assertEquals(presharedKey === null ? null : encodeKey(presharedKey), key, command);
        assertEquals(postUp.length, left, command);
        const [read] = loadConfig(path, "leave").peers;
        assertEquals(encodeKey(read!.presharedKey!), peer);
      });
    }
  },
);

hostTest("loadConfig() asks no command for a key where the file has a mistake", () => {
  withConfig((folder) => [
    `PostUp = wg set %i private-key <(touch ${folder}/ran)`,
    "[Peer]",
    `PublicKey = ${KEY}`,
    "AllowedIPs = nonsense",
  ], (path, folder) => {
    assertThrows(() => loadConfig(path, RUN), ConfigError, "nonsense");
    assert(!Array.from(Deno.readDirSync(folder), ({ name }) => name).includes("ran"));
  });
});

hostTest("loadConfig() runs no command unless the tunnel is to run", () => {
  withConfig(
    (folder) => [`PostUp = wg set %i private-key <(touch ${folder}/ran)`],
    (path, folder) => {
      assertEquals(
        assertThrows(() => loadConfig(path), ConfigError).message,
        `${path}:2: the private key is set by this command, which only \`vpn server\` and \`vpn client\` run: set PrivateKey ` +
          "in the file to use other commands with it",
      );
      assertEquals(loadConfig(path, "leave").interface.lines.has("PrivateKey"), false);
      assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name).includes("ran"), false);
    },
  );
});

hostTest(
  "loadConfig() says in one line why a command gives no key, and shows nothing of what it printed",
  () => {
    const messageOf = (command: string) => {
      let message = "";
      withConfig(() => [`PostUp = ${command}`], (path) => {
        message = assertThrows(() => loadConfig(path, RUN), ConfigError).message.replace(
          path,
          "a.conf",
        );
      });
      assert(!message.includes("secret") && !message.includes("\n"), message);
      return message;
    };
    const place = "a.conf:2: cannot read the private key that this command sets";
    assertEquals(
      messageOf("wg set %i private-key <(echo secret)"),
      `${place}: a key is 44 characters of base64, this one has 6`,
    );
    assertEquals(
      messageOf("(echo secret; exit 3) | wg set %i private-key /dev/stdin"),
      "a.conf: [Interface]: PrivateKey is missing: create one with `vpn genkey`",
    );
    assertEquals(
      messageOf("exit 3 | wg set %i private-key /dev/stdin"),
      `${place}: the command that prints it ended with exit code 3: set PrivateKey, or correct the command`,
    );
  },
);

hostTest("roleOfTarget() needs no key to say what such a file is for, and runs nothing", () => {
  withConfig((folder) => [
    `PostUp = wg set %i private-key <(touch ${folder}/ran)`,
    "[Peer]",
    `PublicKey = ${KEY}`,
    "Endpoint = 192.0.2.1:7",
  ], (path, folder) => {
    assertEquals(roleOfTarget({ path, interfaceName: "vpn7" }), "client");
    assert(!Array.from(Deno.readDirSync(folder), ({ name }) => name).includes("ran"));
  });
});
