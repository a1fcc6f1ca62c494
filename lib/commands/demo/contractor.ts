/** Step of the demo: a client that may reach one port of one host for a while, by an access rule and its expiry. */
import { ipv4ToNumber, parseIp } from "../../../ffi/netlink/ip_address.ts";
import { formatExpires } from "../../core/config/values/expiry.ts";
import { INNER_ADDRESSES } from "./identities.ts";
import { patient } from "./patience.ts";
import { formatTime, type Outcome } from "./report.ts";
import type { Stage } from "./stage.ts";
import { INTERNET_ADDRESS } from "./topology.ts";

/** ms, on any machine. */
const PATIENCE = patient(60_000);
/** ms within which a gateway that is there answers a ping. */
const PING_TIMEOUT = 200;
/** ms that the access lasts at the least, once its end is known. */
const LAST_ACCESS = 200;
const PORT = 80;
const RULE = `Allow = peer:client-1 tcp/${PORT}\n`;

/** There is a page on either host by then. */
export async function restrictClient(stage: Stage): Promise<Outcome> {
  const text = stage.configurationOf("gateway");
  const withLines = (lines: string) => text.replace("Name = client-2\n", `$&${lines}`);
  await reload(stage, withLines(RULE));
  await visit(stage, INNER_ADDRESSES["client-1"]);
  const told = await visit(stage, INTERNET_ADDRESS).then(() => null, (error: Error) => error);
  if (told === null) throw new Error("client-2 reaches the internet");
  if (!/EHOSTUNREACH|unreachable|no route to host/i.test(told.message)) {
    throw new Error(`client-2 is told "${told.message}"`);
  }
  const end = Math.ceil((Date.now() + LAST_ACCESS) / 1_000) * 1_000;
  await reload(stage, withLines(`${RULE}Expires = ${formatExpires(end)}\n`));
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, end - Date.now())));
  while (await isAnswered(stage)) { /* Not yet. */ }
  const late = formatTime(Date.now() - end);
  await reload(stage, text);
  return { text: `all but one port prohibited; out ${late} after expiry` };
}

async function visit(stage: Stage, host: string): Promise<void> {
  const page = { host, port: PORT, path: "/" };
  const { status } = await stage.agent("client-2").call("visit", page, { timeout: PATIENCE });
  if (status !== 200) throw new Error(`the answer has status ${status} instead of 200`);
}

/** A gateway always answers a ping of a client that has access. */
async function isAnswered(stage: Stage): Promise<boolean> {
  const address = ipv4ToNumber(parseIp(INNER_ADDRESSES.gateway));
  const ping = { address, count: 1, timeout: PING_TIMEOUT };
  const times = await stage.agent("client-2").call("ping", ping, { timeout: PATIENCE });
  return times.length > 0;
}

/** Has the gateway follow this text in place of its file's. */
async function reload(stage: Stage, text: string): Promise<void> {
  const reloaded = stage.logged("gateway", /reloaded /);
  stage.reconfigure("gateway", text);
  await reloaded;
}
