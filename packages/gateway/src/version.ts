/** Of this package, as MCP clients see it. A test compares it with package.json. */
export const VERSION = "0.1.0";
