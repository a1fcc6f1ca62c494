/** What a peer has sent and received, by hour, day or month. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Chart } from "../../parts/chart.tsx";
import { Segments } from "../../parts/controls.tsx";
import { Loaded } from "../../parts/loaded.tsx";
import { Card } from "../../parts/parts.tsx";
import { useResource } from "../../state/resource.ts";
import type { UsageEntry } from "../../../../control/application/methods.ts";
import { bytesText } from "../../text/format.ts";
import { type Span, SPAN_SECONDS, usageSeries } from "./usage_series.ts";

const SPANS: readonly { readonly value: Span; readonly text: string }[] = [
  { value: "hour", text: "Hours" },
  { value: "day", text: "Days" },
  { value: "month", text: "Months" },
];

/** Pixels. */
const HEIGHT = 250;

export function TrafficCard({ publicKey }: { publicKey: string }): JSX.Element {
  const [span, setSpan] = useState<Span>("day");
  const query = new URLSearchParams({ by: span, peer: publicKey });
  const usage = useResource<readonly UsageEntry[]>(`/usage?${query}`);
  return (
    <Card
      title="Traffic"
      actions={<Segments label="Traffic by" value={span} choices={SPANS} onChange={setSpan} />}
    >
      <Loaded of={usage}>
        {(entries) => {
          const data = usageSeries(entries, span, Date.now());
          const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
          return (
            <>
              <Chart
                key={span}
                label={`Traffic by ${span}`}
                data={data}
                kind="bars"
                height={HEIGHT}
                text={bytesText}
                step={SPAN_SECONDS[span]}
              />
              <p class="muted small">
                {bytesText(sum(data[1]))} received and {bytesText(sum(data[2]))}{" "}
                sent in what is shown
              </p>
            </>
          );
        }}
      </Loaded>
    </Card>
  );
}
