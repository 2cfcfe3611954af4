import {
  type Attributes,
  context,
  type Context,
  type Span,
  type SpanOptions,
  trace,
  type Tracer,
} from "@opentelemetry/api";

import { everythingIn } from "./secret-scan.ts";

/** What OpenTelemetry's API was told since it was started. */
export interface RecordedSpans {
  text(): string;
  stop(): void;
}

const listeners = new Set<(what: unknown) => void>();
let isRegistered = false;

/**
 * Records every span of this process. The recorder stays registered, because tracers remember their
 * provider; while nobody listens it keeps nothing.
 *
 * @throws Error when the process has a tracer provider of its own, which would swallow the spans
 */
export function recordedSpans(): RecordedSpans {
  if (!isRegistered && !trace.setGlobalTracerProvider({ getTracer: () => recorder })) {
    throw new Error(
      "this process has a tracer provider already, so the suite cannot see what spans hold; run it without one",
    );
  }
  isRegistered = true;
  const told: unknown[] = [];
  const listen = (what: unknown) => void told.push(what);
  listeners.add(listen);
  return {
    text: () => told.map(everythingIn).join("\n"),
    stop: () => void listeners.delete(listen),
  };
}

function tell(what: unknown): void {
  for (const listener of listeners) listener(what);
}

function span(name: string, options?: SpanOptions): Span {
  tell([name, options?.attributes, options?.links]);
  const made: Span = {
    spanContext: () => ({
      traceId: "0".repeat(31) + "1",
      spanId: "0".repeat(15) + "1",
      traceFlags: 1,
    }),
    isRecording: () => true,
    end: () => {},
    setAttribute: (key, value) => said([key, value]),
    setAttributes: (attributes: Attributes) => said(attributes),
    addEvent: (event, attributes) => said([event, attributes]),
    addLink: (link) => said(link),
    addLinks: (links) => said(links),
    setStatus: (status) => said(status),
    updateName: (next) => said(next),
    recordException: (exception) => void said(exception),
  };
  function said(what: unknown): Span {
    tell(what);
    return made;
  }
  return made;
}

/** OpenTelemetry's three forms: the work comes last, after options and a context that may be left out. */
function startActiveSpan<Work extends (span: Span) => ReturnType<Work>>(
  name: string,
  ...rest: readonly [Work] | readonly [SpanOptions, Work] | readonly [SpanOptions, Context, Work]
): ReturnType<Work> {
  const [options, parent, work] =
    rest.length === 1
      ? [undefined, context.active(), rest[0]]
      : rest.length === 2
        ? [rest[0], context.active(), rest[1]]
        : rest;
  const started = span(name, options);
  return context.with(trace.setSpan(parent, started), () => work(started));
}

const recorder: Tracer = { startSpan: span, startActiveSpan };
