/** What is fetched, shown as it stands: loading, failed with its reason, or there; what was there stays. */
import type { ComponentChildren, JSX } from "preact";
import { Button } from "./controls.tsx";
import { Notice, Wait } from "./parts.tsx";
import type { Resource } from "../state/resource.ts";

interface LoadedProps<Value> {
  readonly of: Resource<Value>;
  readonly children: (value: Value) => ComponentChildren;
}

export function Loaded<Value>({ of, children }: LoadedProps<Value>): JSX.Element {
  if (of.trouble === null && !of.isHere) return <Wait />;
  return (
    <>
      {of.trouble === null ? null : (
        <div class="card-body stack">
          <Notice tone="bad">{of.trouble}</Notice>
          <div>
            <Button onClick={() => void of.reload()}>Try again</Button>
          </div>
        </div>
      )}
      {of.isHere ? children(of.value as Value) : null}
    </>
  );
}
