/** What usage of peers is summed up by, in UTC. */

export const USAGE_PERIODS = ["hour", "day", "month"] as const;
export type UsagePeriod = (typeof USAGE_PERIODS)[number];
