/** The frame of what is seen without a login: a card in the middle. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Mark } from "../../parts/icon.tsx";

interface GateProps {
  readonly title: string;
  readonly about?: ComponentChildren;
  readonly children: ComponentChildren;
}

export function Gate({ title, about, children }: GateProps): JSX.Element {
  useEffect(() => {
    document.title = `${title} · vpn`;
  }, [title]);
  return (
    <main class="gate">
      <div class="gate-card card">
        <Mark size={34} />
        <h1>{title}</h1>
        {about === undefined ? null : <p class="muted">{about}</p>}
        <div class="gate-body">{children}</div>
      </div>
    </main>
  );
}
