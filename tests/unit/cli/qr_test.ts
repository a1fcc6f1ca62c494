/** Shows that a QR code in a terminal is read by a scanner, on dark and on light. */
import { crc32, inflateSync } from "node:zlib";
import { default as decode } from "jsqr";
import { clientText } from "../../../lib/core/config/text/config_writer.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { qrCode, qrImage, whyNotShown } from "../../../lib/cli/qr.ts";
import { sampleKeys } from "../../support/config/sample_keys.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "../../support/assert.ts";

const BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m";
const RESET = "\x1b[0m";

/** Pixels to a module: a camera sees each module as several. */
const SCALE = 4;

interface Theme {
  /** Brightness, 0 to 255. */
  readonly foreground: number;
  readonly background: number;
}
const DARK: Theme = { foreground: 230, background: 20 };
const LIGHT: Theme = { foreground: 30, background: 250 };

/**
 * The brightness of each half of a character: what a terminal with this theme shows, the code standing in its corner.
 */
function screen(lines: readonly string[], theme: Theme): number[][] {
  const rows: number[][] = [];
  for (const line of lines) {
    let { foreground, background } = theme;
    const upper: number[] = [];
    const lower: number[] = [];
    // deno-lint-ignore no-control-regex -- that is what colours are
    for (const [part] of line.matchAll(/\x1b\[[\d;]*m|./gu)) {
      if (part === BLACK_ON_WHITE) [foreground, background] = [0, 255];
      else if (part === RESET) ({ foreground, background } = theme);
      else {
        upper.push("█▀".includes(part) ? foreground : background);
        lower.push("█▄".includes(part) ? foreground : background);
        assert("█▀▄ ".includes(part), `it draws ${JSON.stringify(part)}`);
      }
    }
    rows.push(upper, lower);
  }
  // The rest of the screen.
  const width = Math.max(...rows.map((row) => row.length));
  const margin = () => Array.from({ length: 10 }, () => theme.background);
  const empty = Array.from({ length: width }, () => theme.background);
  return [...Array(10).fill(empty), ...rows, ...Array(10).fill(empty)]
    .map((row: number[]) => [...margin(), ...row, ...margin()]);
}

/** What a scanner reads, one that takes inverted codes too or not. */
function scan(pixels: readonly number[][], inverted = false): string | null {
  const width = pixels[0]!.length * SCALE;
  const height = pixels.length * SCALE;
  const image = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = pixels[Math.floor(y / SCALE)]![Math.floor(x / SCALE)]!;
      image.set([value, value, value, 255], (y * width + x) * 4);
    }
  }
  const inversionAttempts = inverted ? "attemptBoth" : "dontInvert";
  return decode.default(image, width, height, { inversionAttempts })?.data ?? null;
}

/** A client's configuration, as long as one with an ordinary endpoint is. */
function configuration(): string {
  return clientText({
    privateKey: encodeKey(new Uint8Array(32).fill(0xa5)),
    addresses: ["10.66.77.254/32"],
    dns: "10.66.77.1",
    mtu: null,
    transport: "udp",
    publicKey: sampleKeys(1).publicKey,
    presharedKey: encodeKey(new Uint8Array(32).fill(0xc3)),
    allowedIps: "0.0.0.0/0, ::/0",
    endpoint: "gateway-1.europe.vpn.example.org:51820",
  });
}

Deno.test("qrCode() in colour is read on a dark and on a light terminal", () => {
  const lines = qrCode(configuration(), { colour: true });
  for (const theme of [DARK, LIGHT]) assertEquals(scan(screen(lines, theme)), configuration());
});

Deno.test("qrCode() without colour is read on a dark terminal, and inverted on a light one", () => {
  const lines = qrCode(configuration(), { colour: false });
  assertEquals(lines.join("").includes("\x1b"), false);
  assertEquals(scan(screen(lines, DARK)), configuration());
  assertEquals(scan(screen(lines, LIGHT)), null);
  assertEquals(scan(screen(lines, LIGHT), true), configuration());
});

Deno.test("qrCode() of a client's configuration fits into 80 columns and 40 lines, quiet zone and all", () => {
  const lines = qrCode(configuration(), { colour: false });
  assert(lines.length <= 40, `it has ${lines.length} lines`);
  for (const line of lines) {
    assert(line.length <= 80, `a line has ${line.length} columns`);
    assertMatch(line, /^█{4}.*█{4}$/);
  }
  for (const line of [...lines.slice(0, 2), ...lines.slice(-2)]) assertMatch(line, /^█+$/);
});

Deno.test("qrCode() resets the colours at the end of each line", () => {
  for (const line of qrCode("x", { colour: true })) {
    assert(line.startsWith(BLACK_ON_WHITE) && line.endsWith(RESET));
  }
});

Deno.test("qrCode() throws when the text is longer than any code", () => {
  assertThrows(() => qrCode("x".repeat(2954), { colour: false }), RangeError);
});

Deno.test("qrImage() as PNG is read as the configuration, each chunk whole", () => {
  const bytes = qrImage(configuration(), "png");
  assertEquals(bytes.subarray(0, 8).toHex(), "89504e470d0a1a0a");
  const view = new DataView(bytes.buffer);
  const chunks = new Map<string, Uint8Array<ArrayBuffer>>();
  for (let at = 8; at < bytes.length;) {
    const size = view.getUint32(at);
    const body = bytes.subarray(at + 4, at + 8 + size);
    assertEquals(view.getUint32(at + 8 + size), crc32(body));
    chunks.set(new TextDecoder().decode(body.subarray(0, 4)), body.slice(4));
    at += 12 + size;
  }
  assertEquals([...chunks.keys()], ["IHDR", "IDAT", "IEND"]);
  const header = new DataView(chunks.get("IHDR")!.buffer);
  const [width, height] = [header.getUint32(0), header.getUint32(4)];
  // One bit of grey, deflate, no filter, not interlaced.
  assertEquals(chunks.get("IHDR")!.subarray(8).toHex(), "0100000000");
  const data = inflateSync(chunks.get("IDAT")!);
  const rowSize = 1 + Math.ceil(width / 8);
  assertEquals(data.length, rowSize * height);
  const image = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let y = 0; y < height; y++) {
    assertEquals(data[y * rowSize], 0);
    for (let x = 0; x < width; x++) {
      const bit = data[y * rowSize + 1 + (x >> 3)]! >> (7 - (x & 7)) & 1;
      image.fill(bit * 255, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  }
  assertEquals(decode.default(image, width, height)?.data, configuration());
});

Deno.test("qrImage() as SVG has the modules of the code in a terminal, and white around them", () => {
  const text = new TextDecoder().decode(qrImage(configuration(), "svg"));
  const pixelsPerModule = 8;
  const modules = (pixels: string | undefined) => Number(pixels) / pixelsPerModule;
  const size = modules(/viewBox="0 0 (\d+) \1"/.exec(text)![1]);
  const pixels = Array.from({ length: size }, () => new Array<number>(size).fill(255));
  for (const [, x, y, run] of text.matchAll(/M(\d+) (\d+)h(\d+)v8h-\3z/g)) {
    pixels[modules(y)]!.fill(0, modules(x), modules(x) + modules(run));
  }
  assertEquals(scan(pixels), configuration());
});

Deno.test("whyNotShown() finds a code that fits its terminal, the prompt below it included", () => {
  const lines = qrCode(configuration(), { colour: false });
  const [width, height] = [lines[0]!.length, lines.length];
  assertEquals(whyNotShown(lines, { columns: width, rows: height + 1 }), null);
  assertEquals(
    whyNotShown(lines, { columns: width - 1, rows: height + 1 }),
    `it takes ${width} columns and ${height + 1} rows, this terminal has ${width - 1} and ${
      height + 1
    }`,
  );
  assertMatch(whyNotShown(lines, { columns: 200, rows: height })!, /^it takes /);
});

Deno.test("whyNotShown() counts on 80 columns where a terminal has no size, or there is none", () => {
  const short = qrCode(configuration(), { colour: false });
  const long = qrCode("x".repeat(1200), { colour: false });
  for (const place of [null, { columns: 0, rows: 0 }]) {
    assertEquals(whyNotShown(short, place), null);
    assertMatch(whyNotShown(long, place)!, /does not say how many it has$/);
  }
});
