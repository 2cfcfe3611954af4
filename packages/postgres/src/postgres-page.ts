import {
  BehalfError,
  type OutcomeFacts,
  type SqlColumn,
  type SqlResult,
  type TypeParser,
} from "@behalf/core";

import type { PgClient, PgField } from "./pg-structure.ts";
import type { StepResult } from "./postgres-batch.ts";
import { splitRow } from "./postgres-row.ts";

/** How much of a result is wanted. */
export interface Page {
  readonly maxRows: number;
  readonly maxBytes: number;
}

export interface PageResult extends SqlResult {
  /** Bytes of row text that the server sent. */
  readonly bytes: number;
}

/** What the records say of a result. */
export function outcomeOf({ rows, bytes, truncated, affectedRows }: PageResult): OutcomeFacts {
  return {
    rows: rows.length,
    bytes,
    truncated,
    ...(affectedRows === undefined ? {} : { affectedRows }),
  };
}

/** Turns what the server sent for one row into its values, or `null` where it says that the next row would be too much. */
export type RowReader = (line: readonly (string | null)[]) => unknown[] | null;

function columnsOf(fields: readonly PgField[]): readonly SqlColumn[] {
  return fields.map((field) => ({ name: field.name, typeId: field.dataTypeID }));
}

/** The caller's way of reading values, or the driver's. */
export function typeParserOf(given: TypeParser | undefined, client: PgClient): TypeParser {
  return (typeId) => given?.(typeId) ?? client.getTypeParser(typeId, "text");
}

/** Rows of the sandbox come as one composite text. */
export function compositeReader(fields: readonly PgField[], typeParser: TypeParser): RowReader {
  const read = plainReader(fields, typeParser);
  return ([line]) =>
    line === null || line === undefined ? null : read(splitRow(line, fields.length));
}

/** Rows of statement mode come as the columns that they are. */
export function plainReader(fields: readonly PgField[], typeParser: TypeParser): RowReader {
  const parsers = fields.map((field) => typeParser(field.dataTypeID));
  return (line) =>
    line.map((text, index) => {
      if (text === null) return null;
      try {
        return parsers[index]?.(text);
      } catch {
        // What it threw may hold the value.
        throw new BehalfError(
          "configuration",
          `[postgres] the type parser for type ${fields[index]?.dataTypeID} threw`,
          { reason: "type_parser" },
        );
      }
    });
}

/** Reads a result of which one row more than wanted was asked for, so that the last one shows that there are more. */
export function readPage(
  fields: readonly PgField[],
  lines: StepResult["rows"],
  read: RowReader,
  page: Page,
): PageResult {
  const rows: unknown[][] = [];
  let truncated: SqlResult["truncated"] = null;
  let bytes = 0;
  for (const line of lines) {
    const size = bytesOf(line);
    const row = bytes + size > page.maxBytes ? null : read(line);
    if (row === null) {
      truncated = "bytes";
      break;
    }
    if (rows.length === page.maxRows) {
      truncated = "rows";
      break;
    }
    bytes += size;
    rows.push(row);
  }
  return { columns: columnsOf(fields), rows, truncated, bytes };
}

function bytesOf(line: readonly (string | null)[]): number {
  let bytes = 0;
  for (const text of line) if (text !== null) bytes += Buffer.byteLength(text);
  return bytes;
}
