/** Service table: published services for a person, a line for each back end. */
import { tableLines } from "../cli/table.ts";
import type { BackEndStatus, ServiceStatus } from "../core/peers/service_status.ts";

export function serviceLines(services: readonly ServiceStatus[]): string[] {
  if (services.length === 0) return [];
  const rows = services.flatMap(({ name, method, backEnds }) =>
    backEnds.map((backEnd, index) => {
      const isFirst = index === 0;
      const isShared = backEnds.length > 1;
      return [
        isFirst ? name : "",
        isFirst && isShared ? method : "",
        backEnd.name,
        addressText(backEnd),
        stateText(backEnd),
        ...isShared ? [`${backEnd.connections}`, `${backEnd.totalConnections}`] : ["-", "-"],
      ];
    })
  );
  return tableLines([
    ["SERVICE", "BY", "BACK END", "ADDRESS", "STATE", "CONNECTIONS", "IN ALL"],
    ...rows,
  ]);
}

function addressText({ address, isOutside }: BackEndStatus): string {
  return address === null ? "-" : isOutside ? `${address} outside` : address;
}

function stateText({ state, reason }: BackEndStatus): string {
  return reason === null ? state : `${state}: ${reason}`;
}
