/** Command `vpn flows`: which flows a gateway's clients have had, where `FlowLog` has kept them. */
import type { EventsRequest } from "../../cli/command.ts";
import { formatExpires } from "../../core/config/values/expiry.ts";
import { bracketed } from "../../core/wire/host_address.ts";
import { FLOWS } from "../../host/accounts/record_kinds.ts";
import { flowsPath } from "../../process/state_directory.ts";
import { showRecords } from "./kept_records.ts";
import { openRecords } from "./record_files.ts";

/** @throws {AppError} with exit code 3 where no flows are kept that this user may read */
export async function runFlows(request: EventsRequest): Promise<number> {
  const path = flowsPath(request.interfaceName, request.netns);
  using file = await openRecords(path, FLOWS, { what: "flows", keys: "FlowLog = on" });
  return await showRecords({
    read: (after, since) => file.records(after, since),
    isOf: ({ name, client, toName, toClient }, peer) =>
      [name, client, toName, toClient].includes(peer),
    entry: ({ id, time, begun, ...rest }) => ({
      id,
      begun: new Date(begun).toISOString(),
      ended: new Date(time).toISOString(),
      ...rest,
    }),
    cells: ({ time, begun, client, name, protocol, sent, received, ...ends }) => [
      formatExpires(begun),
      `${((time - begun) / 1000).toFixed(1)} s`,
      name ?? client,
      protocol,
      endText(ends.source, ends.sourcePort),
      "->",
      endText(ends.destination, ends.destinationPort),
      `${sent} bytes`,
      `${received} back`,
    ],
  }, request);
}

function endText(address: string, port: number | null): string {
  return port === null ? address : `${bracketed(address)}:${port}`;
}
