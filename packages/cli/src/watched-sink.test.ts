import { memorySink, type AuditRecord } from "@behalf/core";
import { expect, it } from "vitest";
import { watchedSink } from "./watched-sink.ts";

const record = { v: 1, kind: "outcome" } as AuditRecord;

it("says that nothing can be recorded, for a while after a record was lost", async () => {
  const memory = memorySink();
  let isFull = false;
  let time = 0;
  const { sink, check } = watchedSink(
    {
      write: (more) => (isFull ? Promise.reject(new Error("full")) : memory.write(more)),
      close: () => memory.close(),
    },
    () => time,
  );
  await sink.write(record);
  await check();
  isFull = true;
  await expect(sink.write(record)).rejects.toThrow("full");
  await expect(check()).rejects.toMatchObject({ code: "records.unavailable" });
  // Then somebody is let through who finds out whether it works again.
  time += 6_000;
  await check();
  expect(memory.records).toHaveLength(1);
});
