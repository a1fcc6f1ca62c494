/** Tests that outside programs read the QR codes of clients, and what a terminal is shown that has no room for one. */
import { qrImage } from "../../../lib/cli/qr.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, output, run } from "../../support/net.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { withFolder } from "../../support/folder.ts";

netTest("zbarimg reads the PNG and the SVG of a QR code", async () => {
  await withFolder(async (folder) => {
    const text = `[Interface]\nPrivateKey = ${"k".repeat(43)}=\n${
      "AllowedIPs = 0.0.0.0/0\n".repeat(9)
    }`;
    const [png, svg, drawn] = ["phone.png", "phone.svg", "drawn.png"].map((name) =>
      `${folder}/${name}`
    ) as [string, string, string];
    await Deno.writeFile(png, qrImage(text, "png"));
    await Deno.writeFile(svg, qrImage(text, "svg"));
    // zbarimg draws an SVG by whatever its ImageMagick has for that, which may be nothing.
    await output(null, ["rsvg-convert", "--output", drawn, svg]);
    for (const image of [png, drawn]) {
      const read = await output(null, ["zbarimg", "--quiet", "--raw", "--oneshot", image]);
      assertEquals(read.trimEnd(), text.trimEnd(), image);
    }
  });
}, { programs: ["zbarimg", "rsvg-convert"] });

netTest(
  "a terminal that is too small for a QR code is told so in words; one without a size gets it",
  async () => {
    await withFolder(async (folder) => {
      const config = ["--config", `${folder}/server.conf`];
      await output(null, vpnCommand("init", "--endpoint", "vpn.example.org", "--out", config[1]!));
      await output(null, vpnCommand("peer", "add", "phone", ...config));
      const shown = async (columns: number, rows: number) => {
        const command = vpnCommand("peer", "show", "phone", "--qr", ...config)
          .map((word) => `'${word}'`).join(" ");
        const inTerminal = `stty cols ${columns} rows ${rows}; ${command}`;
        return (await run(null, ["script", "-q", "-e", "-c", inTerminal, "/dev/null"])).stdout;
      };
      assertMatch(
        await shown(200, 20),
        /Cannot show phone as a QR code: it takes \d+ columns and \d+ rows, this terminal has 200 and 20/,
      );
      const code = await shown(0, 0);
      assertMatch(code, /▀/);
    });
  },
  { programs: ["script", "stty"] },
);
